"""Let two models answer held-out prompts and a reward model judge: studio compare A B --scorer R --dataset D."""

import asyncio

from django.core.management.base import CommandError

from annotation.freezing.freeze import held_out_prompts
from studio.commands import Verb, dataset_named, model_named
from training import serving
from training.headtohead import play


class Command(Verb):
    help = __doc__

    def arguments(self, parser) -> None:
        parser.add_argument("ours")
        parser.add_argument("theirs")
        parser.add_argument("--scorer", required=True, help="the reward model that judges")
        parser.add_argument("--dataset", required=True, help="its held-out prompts are asked")
        parser.add_argument("--n", type=int, default=4, help="answers a prompt")
        parser.add_argument("--temperature", type=float, default=0.7)
        parser.add_argument("--max-tokens", type=int, default=96)
        parser.add_argument("--seed", type=int, default=7)

    def handle(self, ours: str, theirs: str, scorer: str, dataset: str, **options) -> None:
        models = [model_named(slug) for slug in (ours, theirs, scorer)]
        prompts = held_out_prompts(dataset_named(dataset))
        sampling = {key: options[key] for key in ("n", "temperature", "max_tokens", "seed")}
        try:
            share = asyncio.run(play(*models, prompts, lambda done, total: self.say(f"  {done}/{total}"), **sampling))
        except (serving.ServingError, ValueError) as error:
            raise CommandError(str(error)) from error
        self.emit(share.__dict__, f"{models[0]} beats {models[1]} on {share} of {share.count} prompts.")

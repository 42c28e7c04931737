"""TRL 1.12.0's PPO trainer on a file of prompts, in an environment of its own: `python _trl_ppo.py SETTINGS.json`."""

import json
import resource
import sys
import time
from pathlib import Path


def main() -> None:
    """Train as the settings say; print scores and clocks of every rollout, and the peak of memory, as JSON."""
    said = json.loads(Path(sys.argv[1]).read_text())
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
    from trl.experimental.ppo import PPOConfig, PPOTrainer

    tokenizer = AutoTokenizer.from_pretrained(said["model"], padding_side="left")
    rows = [json.loads(line)["prompt"] for line in Path(said["rows"]).read_text().splitlines()]
    ids = [tokenizer.apply_chat_template(r, add_generation_prompt=True, return_dict=True)["input_ids"] for r in rows]
    policy, reference = (AutoModelForCausalLM.from_pretrained(said["model"]) for _ in range(2))
    value, reward = (AutoModelForSequenceClassification.from_pretrained(said["reward"], num_labels=1) for _ in range(2))
    trainer = PPOTrainer(
        args=PPOConfig(**said["arguments"], output_dir=said["folder"], report_to="none"),
        processing_class=tokenizer,
        model=policy,
        ref_model=reference,
        reward_model=reward,
        value_model=value,
        train_dataset=Dataset.from_list([{"input_ids": one} for one in ids]),
        eval_dataset=Dataset.from_list([{"input_ids": one} for one in ids[:2]]),
    )
    lines: list[dict] = []
    plain = trainer.log

    def log(logs: dict, *rest: object) -> None:
        clock = {"time": time.time(), "cpu": time.process_time()}
        lines.append(clock | {name: logs[name] for name in ("objective/scores", "objective/kl") if name in logs})
        plain(logs, *rest)

    trainer.log = log
    trainer.train()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"lines": [line for line in lines if "objective/scores" in line], "peak": peak}))


if __name__ == "__main__":
    main()

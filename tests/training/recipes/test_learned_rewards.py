"""Rewards that were learned: a run asks models for scores of wholes and of steps, and lays steps on their tokens."""

import json

import pytest

from tests.training.recipes.conftest import train_here
from tests.training.recipes.test_ppo import QUICK, SHORT, learner_of, questions
from training.recipes import learned, weights
from training.recipes.config import BadConfig
from training.recipes.preflight import preflight
from training.recipes.scoring import Answer, Score, pieces_of, scored, token_at

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.training
STEPS = ["Twice two is four.", "So it is blue.", "Add one."]


@pytest.fixture(scope="module")
def judges(base_model, tmp_path_factory):
    """A reward model, an outcome and a process reward model with heads at random, by name."""
    folder, tokenizer = tmp_path_factory.mktemp("judges"), weights.load_tokenizer(str(base_model))
    torch.manual_seed(4)
    made = {
        "taste-v1": weights.load_scorer(str(base_model), "float32", tokenizer.pad_token_id),
        "right-v1": weights.load_scorer(str(base_model), "float32", tokenizer.pad_token_id),
        "steps-v1": weights.load_step_scorer(str(base_model), "float32"),
    }
    for name, model in made.items():
        for parameter in (model.score if hasattr(model, "score") else model.classifier).parameters():
            torch.nn.init.normal_(parameter)
        if name != "taste-v1":
            model.config.step_separator = "\n"
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    return {name: str(folder / name) for name in made}


@pytest.fixture
def make_judged(make_run, judges):
    def make(rewards, **settings):
        run_dir = make_run(
            "ppo", list(questions()), list(questions(2)), **SHORT | {"max_steps": 2} | settings | {"rewards": rewards}
        )
        config = json.loads((run_dir / "config.json").read_text())
        (run_dir / "config.json").write_text(json.dumps(config | {"models": judges}))
        return run_dir

    return make


def answers(*texts):
    row = next(questions(1))
    return [Answer(row, text, [1]) for text in texts]


def test_a_reward_model_scores_the_chat_it_would_be_served(make_judged, judges):
    rewards = learner_of(make_judged("reward_model:taste-v1 2")).drawing.rewards
    score = rewards(answers("Yes, gladly."))[0]
    model = learned.load("taste-v1", judges["taste-v1"], ("score",), "cpu")
    chat = [*next(questions(1))["prompt"], {"role": "assistant", "content": "Yes, gladly."}]
    with torch.no_grad():
        plain = model.network(torch.tensor([model.encode(chat)])).logits[0, 0].item()
    assert score.parts == {"reward_model:taste-v1": pytest.approx(plain, abs=1e-5)}
    assert score.total == pytest.approx(2 * plain, abs=1e-4)


def test_a_value_model_of_its_own_begins_as_the_reward_model(make_judged):
    learner = learner_of(make_judged("length 0.1; reward_model:taste-v1 2", value_model="own", lora=False))
    told = answers("Yes, gladly.", "No.")
    chat, row = learner.session.chat, told[0].row
    whole = [chat.tokens(row["prompt"] + [{"role": "assistant", "content": one.text}]) for one in told]
    values = learner.actor.critic.look([ids[:2] for ids in whole], [ids[2:] for ids in whole])
    for at, score in enumerate(learner.drawing.rewards(told)):
        wanted = 2 * score.parts["reward_model:taste-v1"]
        assert values[at, len(whole[at]) - 2].item() == pytest.approx(wanted, abs=1e-4)
    plain = learner_of(make_judged("length 0.1", value_model="own")).actor.critic
    assert not plain.core.score.weight.any()  # no reward model to begin as


def test_an_outcome_reward_model_reads_the_end_of_the_solution(make_judged):
    rewards = learner_of(make_judged("orm:right-v1 1")).drawing.rewards
    one, other = rewards(answers("\n".join(STEPS), STEPS[0]))
    assert 0 < one.total < 1 and one.total != other.total


def test_a_process_reward_model_is_asked_for_one_number_or_for_each_step(make_judged):
    text = "\n".join(STEPS)
    means = {}
    for how in ("min", "prod", "mean", "last"):
        rewards = learner_of(make_judged(f"prm:steps-v1 1 aggregate={how}")).drawing.rewards
        means[how] = rewards(answers(text))[0].total
    dense = learner_of(make_judged("prm:steps-v1 0.5 aggregate=dense")).drawing.rewards(answers(text))[0]
    ends, values = zip(*dense.steps, strict=True)
    assert ends == (19, 34, 42)
    scores = [2 * value for value in values]
    assert means["min"] == pytest.approx(min(scores)) and means["last"] == pytest.approx(scores[-1])
    assert means["prod"] == pytest.approx(scores[0] * scores[1] * scores[2])
    assert means["mean"] == pytest.approx(sum(scores) / 3) and dense.total == 0
    gain = learner_of(make_judged("prm:steps-v1 1 aggregate=gain")).drawing.rewards(answers(text))[0]
    assert [value for _, value in gain.steps] == pytest.approx(
        [scores[0] - 0.5, scores[1] - scores[0], scores[2] - scores[1]]
    )


def test_rewards_of_steps_lie_on_the_last_token_of_each(make_judged):
    learner = learner_of(make_judged("prm:steps-v1 1 aggregate=dense", max_completion_length=30, max_length=128))
    tokens = learner.session.chat.encode("Yes.\nIt is the sky.\nNo")
    pieces = pieces_of(learner.session.tokenizer, tokens)
    assert "".join(pieces) == "Yes.\nIt is the sky.\nNo"
    rollout = learner.roll_out(learner.session.train_rows.rows[:4], 1)
    rollout.completions[0], rollout.scores[0] = tokens, Score(0.0, {}, {}, [(5, 0.1), (20, 0.2), (22, 0.4)])
    rollout.kl = torch.zeros(16, max(30, len(tokens)))
    rewards = learner.token_rewards(rollout)[0, : len(tokens)].tolist()
    places = [token_at(pieces, character) for character in (5, 20, 22)]
    assert pieces[places[0]].endswith("\n") and places[2] == len(tokens) - 1
    assert [rewards[place] for place in places] == pytest.approx([0.1, 0.2, 0.4]) and sum(rewards) == pytest.approx(0.7)


def test_characters_that_take_several_tokens_keep_steps_in_place(make_judged):
    learner = learner_of(make_judged("length -0.1"))
    text = "Größe: 5 €\nça va 🙂\nend"
    tokens = learner.session.chat.encode(text)
    pieces = pieces_of(learner.session.tokenizer, tokens)
    assert "".join(pieces) == text and len(pieces) == len(tokens)


def test_a_policy_trains_on_step_rewards(make_judged):
    done = train_here(make_judged("prm:steps-v1 1 aggregate=dense; length -0.01", **QUICK))
    assert done["status"] == "succeeded" and "rewards/prm:steps-v1 by step/mean" in done["metrics"]


def test_equal_answers_to_one_prompt_are_scored_once():
    asked = []

    def mix(prompts, completions, **columns):
        asked.extend(completions)
        assert len(columns["reference"]) == len(prompts)
        return [Score(float(len(one[0]["content"])), {}) for one in completions]

    found = scored(mix, answers("yes", "no", "yes", "yes"), {})
    assert len(asked) == 2 and [score.total for score in found] == [3, 2, 3, 3]
    scored(mix, answers("yes") + answers("yes"), {})
    assert len(asked) == 4  # two rows, whatever they say


def test_a_model_that_is_missing_or_of_another_kind_is_named(make_judged):
    with pytest.raises(BadConfig, match="holds no model 'other-v1'"):
        learner_of(make_judged("reward_model:other-v1 1"))
    with pytest.raises(BadConfig, match="taste-v1 is not a model of the kind"):
        learner_of(make_judged("prm:taste-v1 1"))
    report = preflight(make_judged("reward_model:other-v1 1"))
    assert not report["ok"] and "the run holds no model other-v1" in report["errors"][0]

"""Have a model write other texts for one step of a trace; a labeler may choose one as the better step."""

from asgiref.sync import sync_to_async

from annotation.models import Alternative, Completion
from training import serving
from training.models import ModelVersion

COUNT = 4
SAMPLING = {"temperature": 0.8, "top_p": 0.95, "max_tokens": 128}
SEPARATOR = "\n\n"  # between steps, unless a model was trained on another


def before(messages: list[dict], steps: list[str], step: int) -> list[dict]:
    """The chat up to the step: what comes before it is an answer the model goes on from.

    >>> before([{"role": "user", "content": "1 + 1?"}], ["First", "Then"], 1)[-1]
    {'role': 'assistant', 'content': 'First\\n\\n'}
    """
    if not step:
        return messages
    return [*messages, {"role": "assistant", "content": SEPARATOR.join(steps[:step]) + SEPARATOR}]


def first_step(text: str) -> str:
    """
    >>> first_step("\\n12 + 5 = 17\\n\\nSo the answer is 17.")
    '12 + 5 = 17'
    """
    return text.strip().split(SEPARATOR)[0].strip()


async def sample(model: ModelVersion, completion: Completion, messages: list[dict], step: int) -> int:
    """Ask for COUNT other texts of the step and keep those that are new; how many. Raises ServingError."""
    going_on = {"continue_final_message": True, "add_generation_prompt": False} if step else {}
    asked = before(messages, completion.steps, step)
    answers = await serving.chat(model, asked, n=COUNT, **SAMPLING, **going_on)
    return await sync_to_async(keep)(completion, step, [first_step(answer["text"]) for answer in answers], str(model))


def keep(completion: Completion, step: int, texts: list[str], source: str) -> int:
    known = {completion.steps[step].strip(), *completion.alternatives.filter(step=step).values_list("text", flat=True)}
    fresh = [text for text in dict.fromkeys(texts) if text and text not in known]
    rows = [Alternative(completion=completion, step=step, text=text, source=source) for text in fresh]
    return len(Alternative.objects.bulk_create(rows))

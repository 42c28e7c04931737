"""What makes a CPU training quick must not change its numbers."""

import pytest

from tests.tiny import tiny_model

pytestmark = pytest.mark.training


@pytest.fixture
def batch():
    import torch

    ids = torch.arange(3, 3 + 4 * 20).reshape(4, 20)
    mask = torch.ones_like(ids)
    mask[1, 15:] = mask[3, 12:] = 0
    labels = ids.masked_fill(mask == 0, -100)
    labels[:, :8] = -100
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


@pytest.fixture
def make_model(tmp_path):
    from transformers import AutoModelForCausalLM

    return lambda: AutoModelForCausalLM.from_pretrained(tiny_model(tmp_path / "tiny", num_hidden_layers=4))


@pytest.mark.parametrize("chunk", [7, 256])
@pytest.mark.parametrize("head_learns", [False, True])
def test_the_compact_head_gives_the_numbers_and_gradients_of_trl(make_model, batch, head_learns, chunk, monkeypatch):
    import torch
    from trl.trainer.utils import add_fused_lm_head

    from training.recipes import head
    from training.recipes.head import use_compact_head

    monkeypatch.setattr(head, "CHUNK", chunk)
    outputs, slopes = [], []
    for compact in (False, True):
        model = make_model()
        model.lm_head.weight.requires_grad_(head_learns)
        add_fused_lm_head(model, outputs=("log_probs", "entropy", "mean_logits", "is_top1"))
        if compact:
            use_compact_head(model)
        output = model(**batch, fused_lm_head=True)
        (output.log_probs * torch.linspace(-1, 1, 19)).sum().backward()
        outputs.append(output)
        slopes.append({name: p.grad for name, p in model.named_parameters() if p.requires_grad})
    for name in ("loss", "log_probs", "entropy", "mean_logits", "is_top1", "label_mask"):
        torch.testing.assert_close(getattr(outputs[1], name), getattr(outputs[0], name), rtol=1e-4, atol=1e-5)
    assert slopes[0].keys() == slopes[1].keys()
    for name in slopes[0]:
        torch.testing.assert_close(slopes[1][name], slopes[0][name], rtol=1e-3, atol=1e-5)


def test_in_half_precision_a_learning_heads_gradient_does_not_depend_on_how_it_is_added_up(monkeypatch):
    import torch

    from training.recipes import head

    torch.manual_seed(0)
    hidden, weight, targets = torch.randn(37, 16), torch.randn(50, 16), torch.randint(50, (37,))
    found = []
    for chunk, together in ((64, 1), (4, 3), (5, 1)):
        monkeypatch.setattr(head, "CHUNK", chunk)
        monkeypatch.setattr(head, "TOGETHER", together)
        states, words = (part.clone().requires_grad_() for part in (hidden, weight))
        with torch.autocast("cpu", torch.bfloat16):
            (head.score_tokens(states, words, targets)[0] * torch.linspace(-1, 1, 37)).sum().backward()
        found.append((states.grad, words.grad))
    wanted = [part.clone().requires_grad_() for part in (hidden, weight)]
    scores = (wanted[0] @ wanted[1].t()).log_softmax(-1).gather(1, targets[:, None])[:, 0]
    (scores * torch.linspace(-1, 1, 37)).sum().backward()
    for states, words in found:
        for ours, exact in ((states, wanted[0].grad), (words, wanted[1].grad)):
            assert (ours - exact).norm() < 0.02 * exact.norm()


def test_frozen_layers_are_passed_once_and_give_the_same(make_model, batch):
    import torch

    from training.recipes.trunk import Trunk, frozen_depth

    model = make_model()
    inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"], "use_cache": False}
    model.requires_grad_(False)
    model.model.layers[2].requires_grad_(True)
    assert frozen_depth(model) == 2
    before = model(**inputs).logits
    trunk = Trunk(model.model, 2)
    calls = []
    trunk.plain[0] = lambda *a, plain=trunk.plain[0], **k: calls.append(1) or plain(*a, **k)
    trunk.install()
    real = batch["attention_mask"].bool()
    for _ in range(2):
        torch.testing.assert_close(model(**inputs).logits[real], before[real], rtol=1e-4, atol=1e-5)
    swapped = {name: value[[2, 0]] if hasattr(value, "shape") else value for name, value in inputs.items()}
    torch.testing.assert_close(model(**swapped).logits, before[[2, 0]], rtol=1e-4, atol=1e-5)
    assert len(calls) == 1
    made = model.generate(batch["input_ids"][:1, :8], max_new_tokens=4, do_sample=False)
    assert made.shape == (1, 12) and len(calls) == 5


def test_a_model_whose_embedding_learns_has_no_frozen_layers(make_model):
    from training.recipes.trunk import frozen_depth

    assert frozen_depth(make_model()) == 0

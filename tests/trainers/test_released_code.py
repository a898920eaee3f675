"""The released code's surgery: its misaligned write-back does what was measured of it."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from trainers.surgery.released_code import layout, misalign


def with_gradients(model: Any) -> dict[str, Tensor]:
    """Give every parameter a random gradient; the gradients by name, copied."""
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def config(layers: int, hidden: int, labels: int) -> Any:
    from transformers import XLMRobertaConfig

    return XLMRobertaConfig(
        vocab_size=50, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=4,
        intermediate_size=4 * hidden, num_labels=labels,
    )  # fmt: skip


def test_in_a_token_classifier_the_head_every_bias_and_every_layer_norm_get_zero() -> None:
    """METHOD.md, part 2: 244 of the 391 tensors of a 24-layer token classifier."""
    from transformers import XLMRobertaForTokenClassification

    model = XLMRobertaForTokenClassification(config(24, 384, 7))
    before = with_gradients(model)
    misalign(layout(model))
    zero = {name for name, parameter in model.named_parameters() if not parameter.grad.any()}
    assert (len(before), len(zero)) == (391, 244)
    assert zero == {name for name in before if name.endswith(("bias", "LayerNorm.weight")) or "classifier" in name}
    for name, parameter in model.named_parameters():
        assert name in zero or torch.equal(parameter.grad, before[name])


def test_in_a_sequence_classifier_the_same_tensors_get_those_of_others() -> None:
    """METHOD.md, part 2: 125 of the 201 tensors of a base sequence classifier are scrambled (and one is zero)."""
    from transformers import XLMRobertaForSequenceClassification

    model = XLMRobertaForSequenceClassification(config(12, 256, 3))
    before = with_gradients(model)
    misalign(layout(model))
    after = {name: parameter.grad for name, parameter in model.named_parameters()}
    scrambled = [name for name in after if after[name].any() and not torch.equal(after[name], before[name])]
    assert (len(before), len(scrambled)) == (201, 125)
    assert not after["classifier.dense.weight"].any()
    assert torch.equal(
        after["classifier.out_proj.weight"].flatten(), before["classifier.dense.weight"].flatten()[: 3 * 256]
    )


def test_a_model_that_uses_its_pooler_is_not_shifted() -> None:
    from transformers import BertConfig, BertForSequenceClassification

    small = BertConfig(vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    model = BertForSequenceClassification(small)
    before = with_gradients(model)
    misalign(layout(model))
    assert all(torch.equal(parameter.grad, before[name]) for name, parameter in model.named_parameters())


def test_parameters_without_a_gradient_shift_what_follows_and_stay_without() -> None:
    first, unused, last = (torch.nn.Parameter(torch.zeros(size)) for size in (2, 3, 4))
    first.grad, last.grad = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0, 5.0, 6.0])
    misalign([first, unused, last])
    assert first.grad.tolist() == [1, 2]
    assert unused.grad is None
    assert last.grad.tolist() == [0, 0, 0, 3]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=6), st.data())
def test_without_gaps_nothing_changes_and_with_one_only_what_follows_it(sizes: list[int], data: st.DataObject) -> None:
    parameters = [torch.nn.Parameter(torch.zeros(size)) for size in sizes]
    flat = torch.arange(1.0, sum(sizes) + 1)
    for parameter, part in zip(parameters, flat.split(sizes), strict=True):
        parameter.grad = part.clone()
    misalign(parameters)
    assert torch.equal(torch.cat([parameter.grad for parameter in parameters if parameter.grad is not None]), flat)
    place, gap = data.draw(st.integers(0, len(sizes))), data.draw(st.integers(1, 9))
    misalign([*parameters[:place], gap, *parameters[place:]])
    kept = sum(sizes[:place])
    expected = torch.cat([flat[:kept], torch.zeros(gap), flat[kept:]])[: len(flat)]
    assert torch.equal(torch.cat([parameter.grad for parameter in parameters if parameter.grad is not None]), expected)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_the_layout_has_every_parameter_once_group_by_group(weight_decay: float) -> None:
    from transformers import XLMRobertaForTokenClassification

    from trainers.training.schedule import parameter_groups

    model = XLMRobertaForTokenClassification(config(2, 16, 3))
    order = [id(part) for part in layout(model) if isinstance(part, Tensor)]
    decayed, undecayed = ([id(parameter) for parameter in group["params"]] for group in parameter_groups(model, 0.1))
    assert sorted(order[: len(decayed)]) == sorted(decayed)
    assert sorted(order[len(decayed) :]) == sorted(undecayed)
    assert len(set(order)) == len(list(model.parameters()))
    assert [group["weight_decay"] for group in parameter_groups(model, weight_decay)] == [weight_decay, 0.0]

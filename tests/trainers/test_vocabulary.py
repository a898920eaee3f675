"""Vocabulary trimming: the very model that training with all rows gives."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from trainers.encoders.vocabulary import Rows, WordEmbeddings
from trainers.training import loop
from trainers.trial import Training

VOCABULARY, PAD = 2000, 1
IdsOf = Callable[[WordEmbeddings, list[list[int]]], Tensor]


@pytest.fixture
def fresh(tiny_encoder: Path) -> Callable[[float], Any]:
    """Makes the same model each time, with this dropout."""
    from transformers import AutoModelForTokenClassification

    def make(dropout: float) -> Any:
        torch.manual_seed(11)
        return AutoModelForTokenClassification.from_pretrained(
            tiny_encoder, num_labels=3, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout
        )

    return make


def some_windows() -> list[list[int]]:
    generator = torch.Generator().manual_seed(2)
    lengths = torch.randint(3, 12, (24,), generator=generator).tolist()
    return [[0, *torch.randint(4, 150, (length,), generator=generator).tolist(), 2] for length in lengths]


def everything(embeddings: WordEmbeddings, _: list[list[int]]) -> Tensor:
    return embeddings.everything()


def occurring(embeddings: WordEmbeddings, windows: list[list[int]]) -> Tensor:
    return embeddings.occurring(windows)


def batch(rows: Rows | None, windows: list[list[int]], places: Sequence[int]) -> dict[str, Tensor]:
    chosen = [torch.tensor(windows[place]) for place in places]
    ids = torch.nn.utils.rnn.pad_sequence(chosen, batch_first=True, padding_value=PAD)
    labels = torch.where(ids == PAD, -100, ids % 3)
    mask = (ids != PAD).long()
    if rows is not None:
        rows.require(ids)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def trained(model: Any, ids_of: IdsOf | None) -> tuple[list[float], dict[str, Tensor]]:
    """Losses by epoch, and all weights with the full table of word embeddings. Without `ids_of`, no trimming at all."""
    training = Training(
        epochs=4, batch_size=6, learning_rate=1e-2, weight_decay=0.0, adam_epsilon=1e-8, clip_norm=1.0, warmup_steps=0,
        max_length=128,
    )  # fmt: skip
    windows = some_windows()
    losses: list[float] = []
    embeddings = WordEmbeddings(model, PAD) if ids_of else None
    rows = embeddings.install(ids_of(embeddings, windows)) if embeddings and ids_of else None
    data = loop.TrainingSet(
        examples=range(len(windows)),
        lengths=[len(window) for window in windows],
        supervised=[len(window) for window in windows],
        collate=lambda indices: batch(rows, windows, indices),
        loss=lambda outputs, _: outputs.loss,
    )
    loop.Loop(model, data, training, 5).run(lambda progress: losses.append(progress.measures["loss"]))
    table = model.get_input_embeddings().weight.detach()
    if embeddings and rows:
        embeddings.merge(rows.ids, rows.weight)
        table = embeddings.table
    weights = {name: weight.detach() for name, weight in model.named_parameters() if "word_embeddings" not in name}
    return losses, {**weights, "table": table}


# Bit-equal: the losses of the first step's forward pass and the rows that do not occur. The gradient's norm, by which
# all gradients are clipped, is a float32 sum in another order once rows of zeros are in it; hence a tolerance.
@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("reference", [everything, None])
def test_training_the_rows_that_occur_is_training_all(
    fresh: Callable[[float], Any], dropout: float, reference: IdsOf | None
) -> None:
    losses, weights = trained(fresh(dropout), occurring)
    all_losses, all_weights = trained(fresh(dropout), reference)
    assert losses[0] > losses[-1]
    assert losses == pytest.approx(all_losses, rel=1e-5)
    assert weights.keys() == all_weights.keys()
    for name, weight in weights.items():
        torch.testing.assert_close(weight, all_weights[name], rtol=1e-4, atol=2e-5)


def test_rows_that_do_not_occur_stay_exactly_as_they_were_with_all_rows_too(fresh: Callable[[float], Any]) -> None:
    before = fresh(0.1).get_input_embeddings().weight.detach().clone()
    ids = {id_ for window in some_windows() for id_ in window}
    absent = torch.tensor(sorted(set(range(VOCABULARY)) - ids))
    present = torch.tensor(sorted(ids))
    for ids_of in (occurring, everything, None):
        after = trained(fresh(0.1), ids_of)[1]["table"]
        assert torch.equal(after[absent], before[absent])
        assert (after[present] != before[present]).any(1).all()


def test_the_rows_that_occur_are_in_order_with_that_of_padding(fresh: Callable[[float], Any]) -> None:
    embeddings = WordEmbeddings(fresh(0.0), PAD)
    assert embeddings.occurring([[7, 900, 7], [3]]).tolist() == [1, 3, 7, 900]
    assert embeddings.occurring([]).tolist() == [1]
    assert embeddings.everything().tolist() == list(range(VOCABULARY))


def test_the_model_is_given_token_ids_and_finds_the_rows_in_their_place(fresh: Callable[[float], Any]) -> None:
    model = fresh(0.0)
    own = model.get_input_embeddings()
    embeddings = WordEmbeddings(model, PAD)
    rows = embeddings.install(embeddings.occurring([[7, 900, 3]]))
    assert rows.index(torch.tensor([[900, PAD], [3, 7]])).tolist() == [[3, 0], [1, 2]]
    assert model.get_input_embeddings() is own
    assert (len(own.weight), own.num_embeddings, own.padding_idx) == (4, 4, 0)
    ids = torch.tensor([[900, PAD], [3, 7]])
    assert torch.equal(own(ids), embeddings.table[ids])
    embeddings.install(embeddings.occurring([[7, 0, 3]]))
    assert own.padding_idx == 1
    full = embeddings.install(embeddings.everything())
    ids = torch.arange(VOCABULARY)
    assert torch.equal(full.index(ids), ids)


def test_a_token_that_is_not_among_the_rows_is_refused(fresh: Callable[[float], Any]) -> None:
    embeddings = WordEmbeddings(fresh(0.0), PAD)
    rows = embeddings.install(embeddings.occurring([[7, 900]]))
    rows.require(torch.tensor([[7, PAD]]))
    with pytest.raises(IndexError, match="not among the installed rows"):
        rows.require(torch.tensor([[7, 8]]))


def test_what_does_not_trim_installs_the_table_itself(fresh: Callable[[float], Any]) -> None:
    embeddings = WordEmbeddings(fresh(0.0), PAD)
    embeddings.trims = False
    rows = embeddings.install(torch.tensor([7]))
    assert rows.ids.tolist() == list(range(VOCABULARY))
    with torch.no_grad():
        rows.weight[5] += 1.0
    assert torch.equal(embeddings.table, rows.weight)
    embeddings.merge(rows.ids, rows.weight)
    trained = embeddings.install_trained(torch.tensor([5, 7]))
    assert torch.equal(trained.weight, rows.weight[[5, 7]])
    assert embeddings.install(torch.tensor([7])).weight is rows.weight


def test_a_model_computes_the_same_from_the_rows_that_occur(fresh: Callable[[float], Any]) -> None:
    model = fresh(0.0).eval()
    windows = some_windows()
    with torch.no_grad():
        expected = model(**batch(None, windows, range(24))).logits
        embeddings = WordEmbeddings(model, PAD)
        rows = embeddings.install(embeddings.occurring(windows))
        assert len(rows.ids) < 160
        assert len(rows.weight) == len(rows.ids)
        assert torch.equal(model(**batch(rows, windows, range(24))).logits, expected)


def test_merged_rows_are_in_the_table_and_what_is_installed_next_has_them(fresh: Callable[[float], Any]) -> None:
    embeddings = WordEmbeddings(fresh(0.0), PAD)
    before = embeddings.table.clone()
    rows = embeddings.install(torch.tensor([0, 1, 7, 900]))
    assert torch.equal(rows.weight, before[rows.ids])
    with torch.no_grad():
        rows.weight.add_(1.0)
    assert torch.equal(embeddings.table, before)
    embeddings.merge(rows.ids, rows.weight)
    changed = before.clone()
    changed[rows.ids] += 1.0
    assert torch.equal(embeddings.table, changed)
    other = embeddings.install(torch.tensor([0, 1, 5, 900]))
    assert torch.equal(other.weight, changed[other.ids])
    embeddings.reinstall(rows)
    assert embeddings.model.get_input_embeddings().weight is rows.weight


def test_installed_rows_are_trained_like_any_parameter(fresh: Callable[[float], Any]) -> None:
    embeddings = WordEmbeddings(fresh(0.0), PAD)
    rows = embeddings.install(torch.tensor([0, 1, 7]))
    parameters = {id(parameter) for parameter in embeddings.model.parameters()}
    assert id(rows.weight) in parameters
    assert rows.weight.requires_grad

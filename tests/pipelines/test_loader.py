"""Which samples a step of a training reads, asked by hand."""

from pathlib import Path

import pytest

from pipelines import loader
from sahmr.settings import load_section
from sahmr.training.setup import source_of, training_data
from tests.worlds import small


def test_a_step_has_the_keys_that_a_training_reads(small_world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    section = load_section("train_sahmr", loader.TrainSahmr)
    paths = small.paths_of(small_world)
    asked = loader.open_loader(section, paths, "train")
    data = training_data(source_of(section, paths, 0), section.plan())
    assert data.steps == len(asked) == 1
    for epoch in range(2):
        assert [batch.keys for batch in data.epoch(epoch)] == [asked.keys(epoch)]
    assert loader.open_loader(section, paths, "test").keys(0) == tuple(
        row.key for row in small.records() if row.split == "test"
    )


def test_a_step_that_is_none_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    for text in ("-1", "1.5", "²", "9" * 30):
        with pytest.raises(SystemExit):
            loader.main([f"--step={text}"])
        assert "allowed a whole number from 0 on" in capfd.readouterr().err

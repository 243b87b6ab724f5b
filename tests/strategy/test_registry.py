"""Names of strategies lead to their classes, and every wrong one to a message that helps."""

from __future__ import annotations

import hashlib
import sys
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import msgspec
import pytest

from backtester.domain.errors import ConfigError
from backtester.strategy.base import Strategy, StrategyParams
from backtester.strategy.registry import BUILTIN, describe, load_strategy, loaded_from_class, snake_case

HEAD = "from backtester.strategy.base import Strategy, StrategyParams\n"
ONE = HEAD + "class Mine(Strategy):\n    pass\n"
TWO = ONE + "class Other(Strategy):\n    pass\n"


@pytest.fixture
def write(tmp_path: Path):
    def write_file(text: str, name: str = "my_strategy.py") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write_file


def refusal(name: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_strategy(name)
    return str(caught.value)


def test_a_file_with_one_strategy_needs_no_class(write):
    path = write(ONE)
    loaded = load_strategy(str(path))
    assert loaded.strategy.__name__ == "Mine"
    assert loaded.source == path
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert loaded.reference == f"{path}:Mine"
    assert load_strategy(loaded.reference).sha256 == loaded.sha256


def test_a_file_with_several_strategies_names_them_all(write):
    path = write(TWO)
    assert "defines Mine, Other" in refusal(str(path))
    assert load_strategy(f"{path}:Other").strategy.__name__ == "Other"


def test_a_file_without_a_strategy_is_refused_although_it_imports_the_base(write):
    assert "defines none" in refusal(str(write(HEAD)))


def test_a_missing_class_is_answered_with_the_nearest_one(write):
    assert "did you mean Mine?" in refusal(f"{write(ONE)}:Mime")


def test_a_class_that_is_no_strategy_is_refused(write):
    assert "is no Strategy" in refusal(f"{write(ONE + 'class Plain: pass')}:Plain")


def test_a_missing_file_is_answered_with_the_nearest_one(write, tmp_path):
    write(ONE)
    message = refusal(str(tmp_path / "my_strategi.py"))
    assert "does not exist; did you mean my_strategy.py?" in message


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("x = 1\nclass Broken(:\n", 2, "SyntaxError"),
        ("import no_such_module_at_all\n", 1, "ModuleNotFoundError"),
        ("\n\n1 / 0\n", 3, "ZeroDivisionError"),
        ("import json\njson.loads('{')\n", 2, "JSONDecodeError"),
        ("import sys\nsys.exit(0)\n", 2, "SystemExit"),
        ("from backtester.strategy.base import Stratgey\n", 1, "ImportError"),
    ],
)
def test_a_file_that_cannot_be_imported_is_refused_with_its_line(write, text, line, says):
    path = write(text)
    message = refusal(str(path))
    assert f"{path}:{line}: " in message
    assert says in message
    assert "Traceback" not in message


def test_an_error_in_a_sibling_names_the_sibling(write):
    write("VALUE = 1 / 0\n", "signals_of_mine.py")
    assert "signals_of_mine.py:1: ZeroDivisionError" in refusal(str(write("import signals_of_mine\n" + ONE)))


def test_loading_leaves_search_path_and_directory_as_they_were(write, tmp_path):
    write("VALUE = 1\n", "signals_of_mine.py")
    path = write("import signals_of_mine\n" + ONE)
    before = list(sys.path)
    loaded = load_strategy(str(path))
    assert sys.path == before
    assert loaded.siblings[0][0] == "signals_of_mine.py"
    assert not list(tmp_path.glob("my_strategy*.pyc"))


def test_an_edited_sibling_is_read_again_and_a_namesake_elsewhere_is_not_mixed_up(tmp_path):
    values = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "signals_of_mine.py").write_text(f"VALUE = {folder!r}\n")
        path = tmp_path / folder / "s.py"
        path.write_text("from signals_of_mine import VALUE\n" + ONE + "    value = VALUE\n")
        values.append(load_strategy(str(path)).strategy.value)
    assert values == ["a", "b"]


def test_an_edited_file_is_executed_as_it_now_stands(write):
    write(ONE + "    value = 1\n")
    assert load_strategy(str(write(ONE + "    value = 1\n"))).strategy.value == 1
    assert load_strategy(str(write(ONE + "    value = 2\n"))).strategy.value == 2


def test_parameters_of_a_file_with_postponed_annotations_are_resolved(write):
    text = "from __future__ import annotations\nfrom decimal import Decimal\n" + ONE
    text += "    class Params(StrategyParams, frozen=True):\n        qty: Decimal | None = None\n"
    strategy = load_strategy(str(write(text))).strategy
    assert strategy({"qty": "0.5"}).params.qty == Decimal("0.5")


def test_a_module_is_found_in_the_environment():
    loaded = load_strategy("backtester.strategy.base:Strategy")
    assert loaded.strategy is Strategy
    assert loaded.strategy_id == "strategy"


def test_a_module_is_found_in_the_current_directory(tmp_path, monkeypatch):
    (tmp_path / "package_of_mine").mkdir()
    (tmp_path / "package_of_mine" / "mine.py").write_text(ONE)
    monkeypatch.chdir(tmp_path)
    loaded = load_strategy("package_of_mine.mine:Mine")
    assert loaded.strategy.__name__ == "Mine"
    assert str(tmp_path) not in sys.path


def test_a_missing_module_says_where_it_was_looked_for():
    assert "neither the Python environment nor the current directory" in refusal("no_such_package.mine:Mine")


@pytest.mark.parametrize("name", ["sma_extendet", "SMA_Extended"])
def test_an_unknown_name_is_answered_with_the_nearest_and_the_list(name):
    message = refusal(name)
    assert "'sma_extended'" in message
    assert "bt strategies" in message


def test_a_file_named_without_its_ending_is_suggested(write, monkeypatch, tmp_path):
    write(ONE)
    monkeypatch.chdir(tmp_path)
    assert "'my_strategy.py'" in refusal("my_strategy")


def test_the_strategy_id_never_depends_on_where_the_file_stands(write, tmp_path):
    (tmp_path / "deep").mkdir()
    here = load_strategy(str(write(ONE)))
    there = load_strategy(str(write(ONE, "deep/other_name.py")))
    assert here.strategy_id == there.strategy_id == "mine"


@pytest.mark.parametrize(
    ("name", "snake"), [("Cross", "cross"), ("SMAExtended", "sma_extended"), ("MyRSI2", "my_rsi2"), ("ABTest", "ab_test")]
)
def test_class_names_become_snake_case(name, snake):
    assert snake_case(name) == snake


@pytest.mark.parametrize("name", BUILTIN)
def test_a_shipped_strategy_goes_by_its_name_alone(name):
    loaded = load_strategy(name)
    assert loaded.strategy_id == loaded.reference == name
    again = loaded_from_class(loaded.strategy)
    assert (again.reference, again.sha256) == (name, loaded.sha256)


def test_a_file_that_cannot_be_read_says_why(tmp_path, monkeypatch):
    path = tmp_path / "mine.py"
    path.write_text(ONE)

    def fail(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", fail)
    assert "cannot be read: Permission denied" in refusal(str(path))


def test_parameters_that_are_no_strategy_params_are_refused(write):
    text = ONE + "    class Params:\n        fast = 1\n"
    assert "Mine.Params" in refusal(str(write(text)))


def test_a_class_without_a_file_is_known_by_its_name_alone():
    strategy = type("FromPrompt", (Strategy,), {"__module__": "no_such_module"})
    loaded = loaded_from_class(strategy)
    assert (loaded.source, loaded.sha256, loaded.strategy_id) == (None, "", "from_prompt")


def test_a_class_of_a_strategy_file_is_found_again_by_the_file(write):
    path = write(ONE)
    loaded = loaded_from_class(load_strategy(str(path)).strategy)
    assert loaded.reference == f"{path}:Mine"
    assert loaded.sha256 == load_strategy(str(path)).sha256


class Local(Strategy):
    """A strategy handed over as a class."""

    class Params(StrategyParams, frozen=True):
        """Two of them."""

        fast: int
        """How quick it is,
        in candles."""
        qty: Decimal | None = Decimal("0.01")
        names: tuple[str, ...] = ()
        levels: list[float] = msgspec.field(default_factory=list)
        share: Annotated[float, msgspec.Meta(lt=1)] = 0.5


def test_a_class_is_described_by_its_module():
    loaded = loaded_from_class(Local)
    assert loaded.reference == f"{__name__}:Local"
    assert loaded.source == Path(__file__)
    assert loaded.strategy_id == "local"


def test_parameters_are_listed_with_type_default_and_text():
    rows = [(row.name, row.type, row.default, row.doc) for row in describe(Local)]
    assert rows == [
        ("fast", "int", "required", "How quick it is, in candles."),
        ("qty", "Decimal | None", '"0.01"', ""),
        ("names", "tuple[str, ...]", "[]", ""),
        ("levels", "list[float]", "[]", ""),
        ("share", "float", "0.5", ""),
    ]


def test_parameters_without_a_source_text_are_listed_without_texts():
    params = msgspec.defstruct("Made", [("fast", int, 3)], bases=(StrategyParams,), frozen=True, module="no_such_module")
    strategy = type("FromPrompt", (Strategy,), {"Params": params})
    assert [(row.name, row.default, row.doc) for row in describe(strategy)] == [("fast", "3", "")]

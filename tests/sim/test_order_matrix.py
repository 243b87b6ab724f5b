"""Each order type x time in force x flag x venue, in one table: what becomes of a sale of 2 by an account that holds 5.

The bars, at 100: the order arrives at the open of a bar that trades 10, of which it may have 1; the next bar goes to 106 and to 94,
closes at 100 and has 2 for it; then 100 again, 2 a bar. A row is `order | outcome | other outcome @ venues, ...`; `t` is a fill as
taker, `m` as maker. The venues: binance spot (bs), futures (bu); bybit spot (ys), linear (yl), inverse (yi), option (yo); and
one of which nothing is known (no).
"""

from __future__ import annotations

import pytest

from backtester.config.venue_rules import venue_rules
from backtester.domain.orders import Fill, OrderCanceled, OrderRefused, OrderRejected
from backtester.domain.venue_rules import GENERIC
from backtester.domain.vocabulary import Market
from tests.sim.small_run import small_run

BARS = """
    00:00  100 100   100  100  50
    00:01  100 100   100  100  50
    00:02  100 100.5 99.5 100  10
    00:03  100 106    94  100  20
    00:04  100 100   100  100  20
    00:05  100 100   100  100  20
"""
VENUES = {
    "bs": ("binance", "spot"),
    "bu": ("binance", "linear"),
    "ys": ("bybit", "spot"),
    "yl": ("bybit", "linear"),
    "yi": ("bybit", "inverse"),
    "yo": ("bybit", "option"),
    "no": ("nowhere", "linear"),
}
TABLE = """
    2                            | 1@100t, 1@100t
    2 ioc                        | 1@100t, expired NO_LIQUIDITY
    2 fok                        | canceled FOK | expired FOK @ bs no | rejected FOK @ bu
    2 gtd 00:04                  | refused INVALID
    2 reduce                     | 2@99.6t
    2 reduce ioc                 | 2@99.6t
    2 reduce fok                 | 2@99.6t
    9 reduce                     | 5@97.5t, expired REDUCE_ONLY
    2 at 99                      | 1@100t, 1@99m
    2 at 99 ioc                  | 1@100t, expired NO_LIQUIDITY
    2 at 99 fok                  | canceled FOK | expired FOK @ bs no | rejected FOK @ bu
    2 at 99 gtd 00:04            | 1@100t, 1@99m | refused INVALID @ bu
    2 at 99 gtd 00:14            | 1@100t, 1@99m
    2 at 104                     | 2@104m
    2 at 104 ioc                 | expired NO_LIQUIDITY
    2 at 104 fok                 | canceled FOK | expired FOK @ bs no | rejected FOK @ bu
    2 at 104 gtd 00:04           | 2@104m | refused INVALID @ bu
    2 at 104 gtd 00:14           | 2@104m
    2 at 99.5                    | 1@100t, 1@99.5m
    2 at 99.5 ioc                | 1@100t, expired NO_LIQUIDITY
    2 at 99.5 fok                | canceled FOK | expired FOK @ bs no | rejected FOK @ bu
    2 at 99.5 gtd 00:04          | 1@100t, 1@99.5m | refused INVALID @ bu
    2 at 99.5 gtd 00:14          | 1@100t, 1@99.5m
    2 at 100 post                | canceled POST_ONLY | rejected POST_ONLY @ bs bu no
    2 at 100 post gtd 00:14      | canceled POST_ONLY | rejected POST_ONLY @ bs bu no
    2 at 100 post ioc            | refused INVALID
    2 at 100 post fok            | refused INVALID
    2 at 104 post                | 2@104m
    2 at 104 post gtd 00:14      | 2@104m
    2 at 104 post ioc            | refused INVALID
    2 at 104 post fok            | refused INVALID
    2 at 99 reduce               | 2@99.6t
    2 at 99 reduce ioc           | 2@99.6t
    2 at 99 reduce fok           | 2@99.6t
    2 at 99 reduce gtd 00:14     | 2@99.6t
    2 at 104 reduce              | 2@104m
    2 at 104 reduce ioc          | expired NO_LIQUIDITY
    2 at 104 reduce fok          | canceled FOK | expired FOK @ bs no | rejected FOK @ bu
    2 at 104 reduce gtd 00:14    | 2@104m
    2 at 104 reduce post         | 2@104m
    2 stop 96                    | 2@96t | refused INVALID @ yo
    2 stop 96 ioc                | 2@96t | refused INVALID @ yo
    2 stop 96 fok                | 2@96t | refused INVALID @ yo
    2 stop 96 gtd 00:03          | expired GOOD_TILL | refused INVALID @ bu yo
    2 stop 96 gtd 00:14          | 2@96t | refused INVALID @ yo
    2 stop 96 reduce             | 2@96t | refused INVALID @ yo
    9 stop 96 reduce             | 5@95.4t, expired REDUCE_ONLY | refused INVALID @ yo
    2 stop 96 close              | 2@96t | refused INVALID @ bs ys yo
    all stop 96 close            | 5@95.4t | refused INVALID @ bs ys yo
    2 stop 96 at 95              | 2@95t | refused INVALID @ yo
    2 stop 96 at 95 ioc          | 2@95t | refused INVALID @ yo
    2 stop 96 at 95 fok          | 2@95t | refused INVALID @ yo
    2 stop 96 at 95 gtd 00:03    | expired GOOD_TILL | refused INVALID @ bu yo
    2 stop 96 at 95 gtd 00:14    | 2@95t | refused INVALID @ yo
    2 stop 96 at 101             | expired END_OF_RUN | refused INVALID @ yo
    2 stop 96 at 101 ioc         | expired NO_LIQUIDITY | refused INVALID @ yo
    2 stop 96 at 101 fok         | expired FOK | refused INVALID @ yo
    2 stop 96 at 101 gtd 00:03   | expired GOOD_TILL | refused INVALID @ bu yo
    2 stop 96 at 101 gtd 00:14   | expired END_OF_RUN | refused INVALID @ yo
    2 stop 96 at 95 reduce       | 2@95t | refused INVALID @ yo
    all stop 96 at 95 close      | 5@95t | refused INVALID @ bs ys yo
    2 target 104                 | 2@104t | refused INVALID @ yo
    2 target 104 ioc             | 2@104t | refused INVALID @ yo
    2 target 104 fok             | 2@104t | refused INVALID @ yo
    2 target 104 gtd 00:03       | expired GOOD_TILL | refused INVALID @ bu yo
    2 target 104 gtd 00:14       | 2@104t | refused INVALID @ yo
    2 target 104 reduce          | 2@104t | refused INVALID @ yo
    9 target 104 reduce          | 5@103.3t, expired REDUCE_ONLY | refused INVALID @ yo
    2 target 104 close           | 2@104t | refused INVALID @ bs ys yo
    all target 104 close         | 5@103.3t | refused INVALID @ bs ys yo
    2 target 104 at 99           | 2@99t | refused INVALID @ yo
    2 target 104 at 99 ioc       | 2@99t | refused INVALID @ yo
    2 target 104 at 99 fok       | 2@99t | refused INVALID @ yo
    2 target 104 at 99 gtd 00:03 | expired GOOD_TILL | refused INVALID @ bu yo
    2 target 104 at 99 gtd 00:14 | 2@99t | refused INVALID @ yo
    2 target 104 at 101          | expired END_OF_RUN | refused INVALID @ yo
    2 target 104 at 101 ioc      | expired NO_LIQUIDITY | refused INVALID @ yo
    2 target 104 at 101 fok      | expired FOK | refused INVALID @ yo
    2 target 104 at 101 gtd 00:03 | expired GOOD_TILL | refused INVALID @ bu yo
    2 target 104 at 101 gtd 00:14 | expired END_OF_RUN | refused INVALID @ yo
    2 target 104 at 99 reduce    | 2@99t | refused INVALID @ yo
    all target 104 at 99 close   | 5@99t | refused INVALID @ bs ys yo
    2 trail 3                    | 2@97.5t | refused INVALID @ yo
    2 trail 3 ioc                | 2@97.5t | refused INVALID @ yo
    2 trail 3 fok                | 2@97.5t | refused INVALID @ yo
    2 trail 3 gtd 00:03          | expired GOOD_TILL | refused INVALID @ bu yo
    2 trail 3 gtd 00:14          | 2@97.5t | refused INVALID @ yo
    2 trail 3 reduce             | 2@97.5t | refused INVALID @ yo
    2 trail 3 close              | 2@97.5t | refused INVALID @ bs ys yo
    all trail 3 close            | 5@96.8t | refused INVALID @ bs ys yo
    2 trail 300bps               | 2@97.4t | refused INVALID @ yo
    2 trail 3 from 105           | 2@102t | refused INVALID @ yo
    2 oco 104 96 -               | canceled OCO, stop 2@96t | refused INVALID @ yo
    2 oco 104 96 - ioc           | refused INVALID
    2 oco 104 96 - fok           | refused INVALID
    2 oco 104 96 - gtd 00:03     | expired GOOD_TILL, stop canceled OCO | refused INVALID @ bu yo
    2 oco 104 96 - gtd 00:14     | canceled OCO, stop 2@96t | refused INVALID @ yo
    2 oco 104 96 95              | canceled OCO, stop 2@95t | refused INVALID @ yo
    2 oco 104 96 - reduce        | canceled OCO, stop 2@96t | refused INVALID @ yo
"""


def outcome(order: str, venue: str) -> str:
    """What is said of the order `o`."""
    exchange, market = VENUES[venue]
    rules = venue_rules(exchange, market) if exchange != "nowhere" else GENERIC
    run = small_run(
        BARS,
        f"00:01 p buy 5\n00:02 o sell {order}",
        venue=rules,
        market=Market.SPOT if market == "spot" else Market.LINEAR,
        participation_bps=1000,
    )
    words = []
    for message in run.messages(Fill, OrderCanceled, OrderRefused, OrderRejected):
        if not message.order_id.startswith("o"):
            continue
        leg = "stop " if message.order_id == "o-stop" else ""
        if isinstance(message, Fill):
            words.append(f"{leg}{message.qty.normalize():f}@{message.price.normalize():f}{message.liquidity.value[0]}")
        elif isinstance(message, OrderCanceled):
            words.append(f"{leg}{message.status.value} {message.reason.value}")
        else:
            words.append(f"{type(message).__name__.removeprefix('Order').lower()} {message.reason.value}")
    return ", ".join(words)


def rows() -> list[tuple[str, dict[str, str]]]:
    """(order, outcome by venue) of every row."""
    found = []
    for line in TABLE.strip().splitlines():
        order, usual, *others = (part.strip() for part in line.split("|"))
        exceptions = {
            name: told.strip() for other in others for told, _, names in [other.partition("@ ")] for name in names.split()
        }
        found.append((order, {venue: exceptions.get(venue, usual) for venue in VENUES}))
    return found


@pytest.mark.parametrize(("order", "told"), rows(), ids=[order for order, _ in rows()])
def test_a_row_of_the_table(order: str, told: dict[str, str]) -> None:
    assert {venue: outcome(order, venue) for venue in VENUES} == told


def test_the_table_has_every_type_with_every_time_in_force_and_flag() -> None:
    orders = [line.partition("|")[0].split() for line in TABLE.strip().splitlines()]
    types = {
        "market": lambda words: not {"at", "stop", "target", "trail", "oco"} & set(words),
        "limit": lambda words: "at" in words and not {"stop", "target"} & set(words),
        "stop": lambda words: "stop" in words and "at" not in words,
        "stop limit": lambda words: "stop" in words and "at" in words,
        "take-profit": lambda words: "target" in words and "at" not in words,
        "take-profit limit": lambda words: "target" in words and "at" in words,
        "trailing": lambda words: "trail" in words,
        "oco": lambda words: "oco" in words,
    }
    for name, is_of_type in types.items():
        found = [words for words in orders if is_of_type(words)]
        assert any(not {"ioc", "fok", "gtd", "reduce", "post", "close"} & set(words) for words in found), name
        for word in ("ioc", "fok", "gtd", "reduce"):
            assert any(word in words for words in found), f"{name} {word}"
        if name not in {"market", "limit", "oco"}:
            assert any("close" in words for words in found), f"{name} close"
    for word in ("gtd", "ioc", "fok", "reduce"):
        assert any({"post", word} <= set(words) for words in orders), f"post {word}"

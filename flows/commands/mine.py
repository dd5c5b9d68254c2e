"""`visionmill mine`: the pictures of a pool that are worth labelling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.commands.help import parser
from tasks.base.errors import UserError

EXAMPLES = """\
  visionmill mine --list                                    strategies, what they need, their parameters
  visionmill mine pool --strategy mixed --budget 50         pool-picked@1, then pool-picked@2, …
  visionmill mine ~/pictures --strategy coverage --budget 50    a folder becomes a pool first; needs no model
  visionmill mine pool --strategy entropy --budget 50 --set most=3 epsilon=0.1
  visionmill mine pool --strategy mixed --budget 200 --chunk 10000    a huge pool, block by block
  visionmill label send pool-picked --to label-studio"""


def main(words: list[str]) -> int:
    """Pick, list the version, and say what was picked and why."""
    arguments = parser("mine", EXAMPLES)
    arguments.add_argument("pool", nargs="?", metavar="POOL", help="NAME, NAME@N, or a folder of pictures")
    arguments.add_argument("--strategy", default="mixed", help="default: mixed; see --list")
    arguments.add_argument("--budget", type=int, default=50, metavar="N", help="pictures to pick (default: 50)")
    arguments.add_argument("--model", metavar="M", help="take this model's pre-labels (default: the newest)")
    arguments.add_argument("--known", nargs="+", default=[], metavar="NAME[@N]", help="leave out their pictures too, "
                           "beside those of the line's version and of earlier ones of the output")
    arguments.add_argument("--chunk", type=int, metavar="N", help="look at the next N pictures alone, block by block")
    arguments.add_argument("--out", metavar="NAME", help="of the picked pictures (default: POOL-picked)")
    arguments.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="parameters of the strategy")
    arguments.add_argument("--list", action="store_true", help="show the strategies and end")
    options = arguments.parse_args(words)
    if options.list:
        from tasks.labelling.picking.telling import strategies

        print("\n".join(strategies()))
        return 0
    if options.pool is None:
        raise UserError("which pool?", mend="visionmill mine POOL --strategy mixed --budget 50, or mine --list")
    return _mine(options)


def _mine(options: Any) -> int:
    from flows.datastore import open_store, owner, track
    from tasks.labelling.mining import check_asked, known_by_default, pick
    from tasks.labelling.picking.carried import prelabels_of
    from tasks.labelling.picking.telling import picked
    from tasks.labelling.pools import pool_version

    values, workspace, store, who = _values(options.set), Path(), open_store(), owner()
    check_asked(options.strategy, options.budget, values)
    pool = pool_version(options.pool, store, who, workspace)
    pool, prelabels = prelabels_of(pool, store, workspace, options.model)
    out = options.out or f"{pool.name}-picked"
    known = [*known_by_default(store, workspace, out), *map(store.find, options.known)]
    version, mined = pick(pool, store, workspace, strategy=options.strategy, budget=options.budget, known=known,
                          values=values, prelabels=prelabels, chunk=options.chunk, out=out, owner=who)
    track(store, version)
    print("\n".join(picked(version, pool, mined)))
    print(f"next:    visionmill label send {version.name} --to label-studio")
    return 0


def _values(words: list[str]) -> dict[str, Any]:
    from flows.parameters import scalar, set_value

    values: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise UserError(f"--set {word!r} is not KEY=VALUE", mend="visionmill mine --list shows the keys")
        set_value(values, key, scalar(value))
    return values

"""Which labels to keep, as people write it: `class in ('car', 'bus') and area > 1024 and not difficult`.

    condition   = conjunction { "or" conjunction }
    conjunction = negation { "and" negation }
    negation    = "not" negation | predicate
    predicate   = sum [ comparison sum | "is" [ "not" ] "null"
                        | [ "not" ] ( "in" "(" value { "," value } ")" | "like" text | "between" sum "and" sum ) ]
    sum         = product { ( "+" | "-" ) product }
    product     = factor { ( "*" | "/" ) factor }
    factor      = "-" factor | number | text | name | "true" | "false" | "(" condition ")"

A comparison with what is not there (null, or not a number) is false. The result is SQL over the tables `label`, `name`
(its class) and `picture`; texts and numbers go beside the query as values, never into it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

from tasks.base.errors import ParamsError, nearest
from tasks.data.ops._tokens import Token, marked, tokens
from tasks.data.table import SPLITS

DEEPEST = 40
COMPARISONS = {"=": "=", "==": "=", "!=": "<>", "<>": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
KEYWORDS = frozenset({"and", "or", "not", "in", "like", "between", "is", "null", "true", "false"})

NUMBERS = {name: f"label.{name}::DOUBLE" for name in
           ("x", "y", "w", "h", "area", "score", "uncertainty", "difficulty", "truncation", "occlusion")}
NUMBERS |= {name: f'picture."{name}"::DOUBLE' for name in ("width", "height", "frame", "time")}
NUMBERS |= {"relative_area": "(label.area / (picture.width::DOUBLE * picture.height))", "aspect": "(label.w / label.h)"}
TEXTS = {"class": "name.name", "source": "label.source", "reviewed_by": "label.reviewed_by", "track": "label.track",
         "file": "picture.file", "split": "picture.split", "group": 'picture."group"'}
FLAGS = {name: f"COALESCE(label.{name}, FALSE)" for name in ("iscrowd", "difficult")}
TAGS = {"tag": "COALESCE(picture.tags, [])"}
KINDS = {"number": NUMBERS, "text": TEXTS, "condition": FLAGS, "tag": TAGS}
NAMES = {name: (kind, sql) for kind, several in KINDS.items() for name, sql in several.items()}


@dataclass(frozen=True)
class Condition:
    """SQL that is true or false, never null; `values` are its parameters `$v0`, `$v1`, …"""

    sql: str
    values: dict[str, str | float]


@dataclass(frozen=True)
class Node:
    """A part that is compiled: `kind` is number, text, condition or tag; `name` that of a column, `says` a text's."""

    kind: str
    sql: str
    token: Token
    name: str | None = None
    says: str | None = None


def parse(text: str, classes: Sequence[str]) -> Condition:
    """Compile an expression for a dataset with these classes.

    Raises:
        ParamsError: it is not an expression, or names what there is not; with the place and the nearest known name.
    """
    parser = _Parser(text, {"class": classes, "split": SPLITS})
    sql = parser.expect("condition", parser.condition()).sql
    if parser.now.kind != "end":
        parser.fail(f"unexpected {parser.now.says!r}", parser.now)
    return Condition(sql, parser.values)


class _Parser:
    def __init__(self, text: str, known: Mapping[str, Sequence[str]]) -> None:
        self.text, self.known, self.tokens = text, known, tokens(text)
        self.place = self.depth = 0
        self.values: dict[str, str | float] = {}

    @property
    def now(self) -> Token:
        return self.tokens[self.place]

    def fail(self, what: str, token: Token, guess: str | None = None) -> NoReturn:
        raise ParamsError(f"{what}, at character {token.place}", where=marked(self.text, token.place),
                          mend=f"did you mean {guess!r}?" if guess else "see `visionmill help data`, expressions")

    def take(self, *words: str) -> Token | None:
        """The next token if it is one of these words or signs."""
        token = self.now
        if token.kind not in ("word", "sign") or token.says.lower() not in words:
            return None
        self.place += 1
        return token

    def need(self, word: str) -> Token:
        return self.take(word) or self.fail(f"expected {word!r}, got {self.now.says!r}", self.now)

    def expect(self, kind: str, node: Node) -> Node:
        if node.kind != kind:
            self.fail(f"expected a {kind}, got the {node.kind} {node.token.says!r}", node.token)
        return node

    def condition(self) -> Node:
        return self.chain(self.conjunction, "condition", "or")

    def conjunction(self) -> Node:
        return self.chain(self.negation, "condition", "and")

    def negation(self) -> Node:
        if token := self.take("not"):
            node = self.expect("condition", self.deeper(self.negation))
            return Node("condition", f"(NOT {node.sql})", token)
        return self.predicate()

    def sum(self) -> Node:
        return self.chain(self.product, "number", "+", "-")

    def product(self) -> Node:
        return self.chain(self.factor, "number", "*", "/")

    def chain(self, part: Callable[[], Node], kind: str, *signs: str) -> Node:
        node = part()
        while sign := self.take(*signs):
            left, right = self.expect(kind, node), self.expect(kind, part())
            node = Node(kind, f"{left.sql} {sign.says.upper()} {right.sql}", left.token)
            if self.now.says.lower() not in signs:
                node = replace(node, sql=f"({node.sql})")
        return node

    def deeper(self, part: Callable[[], Node]) -> Node:
        self.depth += 1
        if self.depth > DEEPEST:
            self.fail(f"more than {DEEPEST} parts within each other", self.now)
        node = part()
        self.depth -= 1
        return node

    def factor(self) -> Node:
        token = self.now
        if self.take("-"):
            return Node("number", f"(- {self.expect('number', self.deeper(self.factor)).sql})", token)
        if self.take("("):
            node = self.deeper(self.condition)
            self.need(")")
            return node
        if token.kind in ("number", "text"):
            self.place += 1
            return self.value(token)
        return self.named(token)

    def value(self, token: Token) -> Node:
        key = f"v{len(self.values)}"
        says = token.text() if token.kind == "text" else None
        self.values[key] = token.number() if says is None else says
        if says is None and self.values[key] == float("inf"):
            self.fail(f"{token.says} is too large", token)
        return Node(token.kind, f"${key}", token, says=says)

    def named(self, token: Token) -> Node:
        name = token.says.lower()
        if token.kind == "word" and self.take("true", "false"):
            return Node("condition", name.upper(), token)
        if token.kind != "word" or name in KEYWORDS:
            self.fail(f"expected a name, a number or a quoted text, got {token.says!r}", token)
        if name not in NAMES:
            self.fail(f"unknown name {token.says!r} (texts are quoted; known: {', '.join(NAMES)})", token,
                      nearest(name, NAMES))
        self.place += 1
        kind, sql = NAMES[name]
        return Node(kind, sql, token, name=name)

    def predicate(self) -> Node:
        node = self.sum()
        if sign := self.take(*COMPARISONS):
            return self.compared(node, COMPARISONS[sign.says], self.sum())
        if self.take("is"):
            no, _ = self.take("not"), self.need("null")
            return _missing(node, bool(no))
        no = self.take("not")
        if self.take("in"):
            return self.among(node, bool(no))
        if self.take("like"):
            return self.like(node, self.expect("text", self.factor()), bool(no))
        if self.take("between"):
            low, _, high = self.sum(), self.need("and"), self.sum()
            kind = self.expect("text" if node.kind == "text" else "number", node).kind
            inside = f"({_clean(node)} BETWEEN {_clean(self.expect(kind, low))} AND {_clean(self.expect(kind, high))})"
            return _truth(node, inside, bool(no))
        if no:
            self.fail(f"expected 'in', 'like' or 'between' after 'not', got {self.now.says!r}", self.now)
        return node

    def compared(self, node: Node, sign: str, other: Node) -> Node:
        if node.kind == "tag" and sign in ("=", "<>"):
            sql = f"list_contains({node.sql}, {self.expect('text', other).sql})"
            return _truth(node, sql, sign == "<>")
        if node.kind == "tag" or (node.kind == "condition" and sign not in ("=", "<>")):
            self.fail(f"{node.token.says!r} is a {node.kind} and has no order", node.token)
        self.expect(node.kind, other)
        if sign in ("=", "<>"):
            self.check_known(node, other)
            self.check_known(other, node)
        return _truth(node, f"({_clean(node)} {sign} {_clean(other)})")

    def among(self, node: Node, no: bool) -> Node:
        kind = "text" if node.kind == "tag" else node.kind
        self.need("(")
        items = [self.expect(kind, self.sum())]
        while self.take(","):
            items.append(self.expect(kind, self.sum()))
        self.need(")")
        for item in items:
            self.check_known(node, item)
        listed = ", ".join(_clean(item) for item in items)
        if node.kind == "tag":
            return _truth(node, f"list_has_any({node.sql}, [{listed}])", no)
        return _truth(node, f"({_clean(node)} IN ({listed}))", no)

    def like(self, node: Node, pattern: Node, no: bool) -> Node:
        if node.kind == "tag":
            return _truth(node, f"(len(list_filter({node.sql}, lambda tag: tag LIKE {pattern.sql})) > 0)", no)
        return _truth(node, f"({self.expect('text', node).sql} LIKE {pattern.sql})", no)

    def check_known(self, column: Node, value: Node) -> None:
        """Refuse a class or a split that there is not: the comparison would be false for every label."""
        known = self.known.get(column.name or "")
        if known is not None and value.says is not None and value.says not in known:
            listed = f" (there are: {', '.join(known[:20])}{', …' if len(known) > 20 else ''})"
            self.fail(f"no {column.name} is called {value.says!r}{listed}", value.token, nearest(value.says, known))


def _clean(node: Node) -> str:
    return f"NULLIF({node.sql}, 'NaN'::DOUBLE)" if node.kind == "number" else node.sql


def _truth(node: Node, sql: str, no: bool = False) -> Node:
    """A comparison, or its opposite; both are false where one side is missing."""
    return Node("condition", f"COALESCE({'NOT ' if no else ''}{sql}, FALSE)", node.token)


def _missing(node: Node, no: bool) -> Node:
    sql = f"(len({node.sql}) = 0)" if node.kind == "tag" else f"({_clean(node)} IS NULL)"
    return _truth(node, sql, no)

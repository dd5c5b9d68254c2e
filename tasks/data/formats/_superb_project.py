"""`project.json` in the making: the classes, skeletons and picture-wide options that the written labels refer to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid5

from tasks.data.formats._superb_json import mapping, objects
from tasks.data.formats._superb_schema import NAMESPACE, VERSION, detection_of, options

if TYPE_CHECKING:
    from tasks.data.exporting import Export


class NewProject:
    """Gives out ids while labels are written, then says what stands behind them.

    Attributes:
        classes: the dataset's classes by their number.
        before: the project that the dataset was read from, empty for none.
    """

    def __init__(self, export: Export) -> None:
        self.classes, self.lose = export.meta.classes, export.lose
        self.keypoints = export.meta.keypoints
        self.before = mapping(export.meta.attributes.get("superb"))
        detection = detection_of(self.before)
        self.known: dict[tuple[str, str], dict[str, Any]] = {}
        for entry in objects(detection.get("object_classes")):
            name, kind = str(entry.get("name", "")).strip(), str(entry.get("annotation_type"))
            if name in self.classes and "id" in entry:
                self.known.setdefault((name, kind), entry)
        self.pictures_have_labels = export.meta.problem == "classify"
        self.options = self._options()

    def class_id(self, number: int, kind: str) -> str:
        """The id of a class as annotated by boxes, polygons or keypoints: three classes of one name."""
        key = self.classes[number], kind
        if key not in self.known:
            self.known[key] = self._entry(*key)
        return str(self.known[key]["id"])

    def points(self, box: dict[str, Any]) -> list[dict[str, Any]]:
        """The keypoints of an annotation."""
        flat = box["keypoints"]
        names = self._names(self.classes[box["class_id"]], len(flat) // 3)
        return [{"name": names[i], "x": flat[3 * i], "y": flat[3 * i + 1],
                 "state": {"visible": flat[3 * i + 2] == 2, "valid": flat[3 * i + 2] != 0}}
                for i in range(len(flat) // 3)]

    def rest(self, told: Any, labels: list[int] | None) -> dict[str, Any]:
        """The categories of a picture and what else its label file said."""
        rest = mapping(told)
        kept = objects(mapping(rest.get("categories")).get("properties"))
        chosen: dict[str, list[tuple[str, str]]] = {}
        if labels and not self.pictures_have_labels:
            self.lose("classes of whole pictures beside objects")
        for name in (self.classes[number] for number in labels or () if self.pictures_have_labels):
            chosen.setdefault(self.options[name][0], []).append((self.options[name][1], name))
        made = [_choice(self._property(key), found) for key, found in chosen.items()]
        return rest | {"categories": mapping(rest.get("categories")) | {"properties": kept + made}}

    def content(self, films: bool = False) -> dict[str, Any]:
        """What `project.json` says, of pictures or of films; classes that no label uses are boxes."""
        named = {name for name, _ in self.known}
        for number, name in enumerate(self.classes):
            if name not in named and name not in self.options:
                self.class_id(number, "box")
        entries = sorted(self.known.values(), key=lambda entry: (str(entry.get("name")), str(entry["id"])))
        types = sorted({kind for _, kind in self.known} | ({"image category"} if self.options else set()))
        skeletons = [self._skeleton(entry) for entry in entries if entry.get("annotation_type") == "keypoint"]
        detection = {"object_groups": []} | detection_of(self.before)
        known = detection | {"object_classes": entries, "annotation_types": types,
                             "keypoints": list({one["id"]: one for one in skeletons}.values())}
        kind = {"type": "video-siesta", "data_type": "image sequence", "object_tracking": known} if films else {
            "type": "image-siesta", "data_type": "image", "object_detection": known}
        rest = {key: value for key, value in self.before.items() if key not in ("object_tracking", "object_detection")}
        return rest | kind | {"version": VERSION, "categorization": self._categorization()}

    def _options(self) -> dict[str, tuple[str, str]]:
        if not self.pictures_have_labels:
            return {}
        known = options(self.before)
        if set(self.classes) <= known.keys():
            return {name: known[name] for name in self.classes}
        fresh = str(uuid5(NAMESPACE, "class"))
        return {name: (fresh, str(uuid5(NAMESPACE, f"class: {name}"))) for name in self.classes}

    def _property(self, key: str) -> dict[str, Any]:
        properties = objects(mapping(self.before.get("categorization")).get("properties"))
        fresh = {"id": key, "name": "class", "type": "checkbox", "description": "", "required": False,
                 "render_value": False, "default_value": []}
        return next((entry for entry in properties if str(entry.get("id")) == key), fresh)

    def _categorization(self) -> dict[str, Any]:
        """The properties as they were; one of our own where the classes are not their options any more."""
        before = mapping(self.before.get("categorization"))
        properties = objects(before.get("properties"))
        used = {key for key, _ in self.options.values()}
        if used <= {str(entry.get("id")) for entry in properties}:
            return before | {"properties": properties}
        made = self._property(used.pop()) | {"options": [
            {"id": option, "name": name} for name, (_, option) in self.options.items()]}
        return before | {"properties": [*(entry for entry in properties if "options" not in entry), made]}

    def _entry(self, name: str, kind: str) -> dict[str, Any]:
        key = uuid5(NAMESPACE, f"{kind}: {name}")
        more = {"keypoint_interface_id": str(uuid5(NAMESPACE, f"skeleton: {name}"))} if kind == "keypoint" else {}
        return {"id": str(key), "name": name, "color": f"#{key.int & 0xFFFFFF:06x}", "properties": [],
                "constraints": {}, "ai_class_map": [], "annotation_type": kind} | more

    def _skeleton(self, entry: dict[str, Any]) -> dict[str, Any]:
        key, name = str(entry.get("keypoint_interface_id")), str(entry.get("name", "")).strip()
        told = self.keypoints.get(name, {})
        before = objects(detection_of(self.before).get("keypoints"))
        fresh = {"id": key, "name": name, "allow_valid_invisibles": True,
                 "points": [{"name": point, "color": "#64b5f6"} for point in told.get("names", ())],
                 "edges": [{"u": u, "v": v, "color": "#64b5f6"} for u, v in told.get("edges", ())]}
        return next((one for one in before if str(one.get("id")) == key), fresh)

    def _names(self, name: str, count: int) -> list[str]:
        told = list(self.keypoints.get(name, {}).get("names", ()))
        return [str(told[i]) if i < len(told) else str(i) for i in range(count)]


def _choice(told: dict[str, Any], found: list[tuple[str, str]]) -> dict[str, Any]:
    prefix = f"{told.get('name')}: "
    head = {"type": told.get("type"), "property_id": told["id"], "property_name": told.get("name")}
    names = [name.removeprefix(prefix) for _, name in found]
    if len(found) == 1 and told.get("type") != "checkbox":
        return head | {"option_id": found[0][0], "option_name": names[0]}
    return head | {"option_ids": [key for key, _ in found], "option_names": names}

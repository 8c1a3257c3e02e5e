"""Rules of several fields, judged also where other fields are wrong: pydantic leaves them out then.

A rule that reads a wrong field is not judged: to put that right may be all that there is to do.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic_core import ErrorDetails

Place = tuple[int | str, ...]


def broken(model: type[BaseModel], document: Any, errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Return the rules that a document breaks in the parts that have wrong fields.

    Args:
        model: what the document should be.
        document: as it was sent.
        errors: what pydantic has found.
    """
    found: list[ErrorDetails] = []
    for place, part, value in _parts(model, document, sorted({error["loc"] for error in errors}, key=repr)):
        depth = len(place)
        below = [error["loc"] for error in errors if error["loc"][:depth] == place and len(error["loc"]) > depth]
        wrong = {str(loc[depth]) for loc in below}
        found += [
            {"type": "value_error", "loc": place, "msg": told, "input": value} for told in _told(part, value, wrong)
        ]
    return found


def _parts(model: type[BaseModel], document: Any, wrong: list[Place]) -> Iterator[tuple[Place, type[BaseModel], Any]]:
    """Yield each object that has a wrong field: its place, its model and itself."""
    seen: set[Place] = set()
    for loc in wrong:
        part: type[BaseModel] | None = model
        value = document
        for depth, step in enumerate(loc):
            if isinstance(value, dict) and part is not None:
                if loc[:depth] not in seen:
                    seen.add(loc[:depth])
                    yield loc[:depth], part, value
                part, value = _model_of(part, str(step)), value.get(step)
            elif isinstance(value, list) and isinstance(step, int) and step < len(value):
                value = value[step]
            else:
                break


def _model_of(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    """Return the model of a field's objects; None where it has none, or one of several."""
    models = {
        found
        for key, field in model.model_fields.items()
        if (field.alias or key) == name
        for found in _models_in(field.annotation)
    }
    return models.pop() if len(models) == 1 else None


def _models_in(annotation: Any) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return {model for argument in get_args(annotation) for model in _models_in(argument)}


def _told(model: type[BaseModel], document: dict[str, Any], wrong: set[str]) -> list[str]:
    """Return what the rules of a model say that read none of the wrong fields."""
    rules = [name for name, rule in model.__pydantic_decorators__.model_validators.items() if rule.info.mode == "after"]
    if not rules:
        return []
    fields = {field.alias or name: name for name, field in model.model_fields.items()}
    values = {}
    for key, name in fields.items():
        if key in document and key not in wrong:
            try:
                values[name] = _reader(model, name).validate_python(document[key])
            except ValidationError:  # right in its model alone
                wrong.add(key)
    part = model.model_construct(_fields_set={name for key, name in fields.items() if key in document}, **values)
    for key in wrong & fields.keys():
        part.__dict__.pop(fields[key], None)
    told = []
    for rule in rules:
        try:
            getattr(part, rule)()
        except AttributeError as error:
            if error.obj is not part or error.name not in model.model_fields:
                raise  # the rule itself is wrong
        except ValueError as error:
            told.append(str(error))
    return told


@lru_cache(maxsize=1000)
def _reader(model: type[BaseModel], name: str) -> TypeAdapter[Any]:
    field = model.model_fields[name]
    annotation: Any = field.annotation
    return TypeAdapter(Annotated[annotation, *field.metadata] if field.metadata else annotation)

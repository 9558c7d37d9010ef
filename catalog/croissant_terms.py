"""What a Croissant file says of a dataset as a whole: vocabulary, licence, conditions of use, people in it, origin."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from catalog.entry import Entry, Use

# The specifications' own contexts: https://docs.mlcommons.org/croissant, appendix of each version.
_PREFIXES = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
}
_TERMS = (
    "citeAs", "column", "equivalentProperty", "extract", "field", "fileObject", "fileProperty", "fileSet", "format",
    "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex",
    "repeated", "replace", "samplingRate", "separator", "source", "subField", "transform",
)  # fmt: skip
_TERMS_1_1 = ("annotation", "arrayShape", "containedIn", "excludes", "isArray", "readLines", "sdVersion", "unArchive")
_PREFIXES_1_1 = {
    "cc": "https://creativecommons.org/ns#",
    "odrl": "http://www.w3.org/ns/odrl/2/",
    "prov": "http://www.w3.org/ns/prov#",
}
ORIGINS = {  # of what each stage makes, by identifier
    "frames": ("raw-tree",),
    "scenes": ("scene-table", "raw-tree"),
    "shards": ("frame-table", "raw-tree"),
}
_RAI_1_0 = "http://mlcommons.org/croissant/RAI/1.0"
# In full: JSON-LD 1.1 takes no address that ends in an underscore for a prefix, whatever Croissant's examples do.
_DUO = "http://purl.obolibrary.org/obo/DUO_"
_NON_COMMERCIAL = {"@id": f"{_DUO}0000046"}  # non-commercial use only
_PURPOSES: dict[Use, tuple[Any, str]] = {  # of a permission
    "non-commercial-research": ({"@id": f"{_DUO}0000042"}, "general research"),
    "non-commercial-education": ("education", "education"),
    "non-commercial-art": ("art", "art"),
}
_ACTIONS: dict[Use, str] = {  # uses that are an action of ODRL or Creative Commons; all others are purposes of use
    "any-use": "odrl:use",
    "commercial-use": "cc:CommercialUse",
    "redistribution": "odrl:distribute",
}


def context(version: str) -> dict[str, Any]:
    """The JSON-LD context of a version, complete in itself: nothing is fetched."""
    terms: dict[str, Any] = {name: f"cr:{name}" for name in _TERMS}
    terms |= {"conformsTo": "dct:conformsTo"}
    terms |= {name: {"@id": f"cr:{name}", "@type": "@json"} for name in ("data", "examples")}
    terms |= {"dataType": {"@id": "cr:dataType", "@type": "@vocab"}}
    if version == "1.1":
        terms |= {name: f"cr:{name}" for name in _TERMS_1_1} | _PREFIXES_1_1
        terms |= {name: {"@container": "@language"} for name in ("name", "description")}
    return dict(sorted({**_PREFIXES, **terms}.items()))


def conforms_to(version: str) -> list[str]:
    """Specifications that a file follows: of its version, and of the responsible-AI vocabulary."""
    return [f"http://mlcommons.org/croissant/{version}", _RAI_1_0]


def usage_info(entry: Entry) -> dict[str, Any]:
    """Conditions of use that a program can compare: an ODRL offer, a rule for each use that the licence names."""
    licence = entry.licence
    return {
        "@id": "conditions-of-use",
        "@type": ["CreativeWork", "odrl:Offer"],
        "name": licence.name,
        "description": licence.notice,
        "url": licence.url,
        "odrl:permission": [_permission(use) for use in licence.permits],
        "odrl:prohibition": [_rule("Prohibition", use) for use in licence.forbids],
    }


def _permission(use: Use) -> dict[str, Any]:
    if use not in _PURPOSES:
        return _rule("Permission", use)
    purpose, what = _PURPOSES[use]
    constraints = [_constraint(purpose, what), _constraint(_NON_COMMERCIAL, "non-commercial use only")]
    return {"@type": "odrl:Permission", "name": use, "odrl:action": {"@id": "odrl:use"}, "odrl:constraint": constraints}


def _rule(kind: str, use: Use) -> dict[str, Any]:
    rule = {"@type": f"odrl:{kind}", "name": use, "odrl:action": {"@id": _ACTIONS.get(use, "odrl:use")}}
    return rule if use in _ACTIONS else {**rule, "odrl:constraint": [_constraint(use, use)]}


def _constraint(purpose: Any, what: str) -> dict[str, Any]:
    return {
        "@type": "odrl:Constraint",
        "name": what,
        "odrl:leftOperand": {"@id": "odrl:purpose"},
        "odrl:operator": {"@id": "odrl:eq"},
        "odrl:rightOperand": purpose,
    }


def responsible_ai(entry: Entry) -> dict[str, Any]:
    """Fields of the responsible-AI vocabulary, among them all that conferences ask for."""
    said = entry.responsible
    return {
        "rai:dataAnnotationProtocol": said.annotation,
        "rai:dataBiases": said.biases,
        "rai:dataCollection": said.collection,
        "rai:dataCollectionType": list(said.collection_type),
        "rai:dataLimitations": said.limitations,
        "rai:dataPreprocessingProtocol": said.preprocessing,
        "rai:dataReleaseMaintenancePlan": said.maintenance,
        "rai:dataSocialImpact": said.social_impact,
        "rai:dataUseCases": said.use_cases,
        "rai:hasSyntheticData": entry.made_by is not None,
        "rai:personalSensitiveInformation": said.personal,
    }


def activity(stage: str) -> str:
    """Identifier of what a stage did."""
    return f"stage-{stage}"


def provenance(entry: Entry, settings: Mapping[str, Any]) -> dict[str, Any]:
    """PROV-O: which raw tree the dataset was derived from, which stages made it, with which settings.

    Args:
        entry: of the raw tree.
        settings: of each stage, in the order they ran.
    """
    raw = {
        "@id": "raw-tree",
        "@type": "prov:Entity",
        "prov:label": entry.title,
        "url": entry.source,
        "prov:wasAttributedTo": {"@id": "publisher", "@type": "prov:Agent", "prov:label": entry.publisher},
    }
    agent = {"@id": "sahmr-pipeline", "@type": "prov:SoftwareAgent", "prov:label": "sahmr-pipeline"}
    activities = [_activity(stage, values) for stage, values in settings.items()]
    return {"prov:wasDerivedFrom": raw, "prov:wasAttributedTo": agent, "prov:wasGeneratedBy": activities}


def _activity(stage: str, values: Mapping[str, Any]) -> dict[str, Any]:
    used = {
        "@id": f"settings-{stage}",
        "@type": "prov:Entity",
        "prov:label": f"settings of {stage}",
        "prov:value": json.dumps(values, sort_keys=True),
    }
    return {
        "@id": activity(stage),
        "@type": "prov:Activity",
        "prov:label": f"dvc repro {stage}",
        "prov:used": [*({"@id": origin} for origin in ORIGINS[stage]), used],
        "prov:wasAssociatedWith": {"@id": "sahmr-pipeline"},
    }

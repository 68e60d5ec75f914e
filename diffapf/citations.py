"""What to cite for a model: the papers behind its parts, as BibTeX."""

from __future__ import annotations

from typing import Any

from diffapf.model import Model

SOFTWARE = "diffapf"
PAPERS: dict[str, dict[str, str]] = {
    SOFTWARE: {
        "kind": "software",
        "author": "{The diffapf developers}",
        "title": "diffapf: differentiable audio effects and synthesisers built on recursive filters",
    },
    "yu2024allpole": {
        "kind": "inproceedings",
        "author": "Yu, Chin-Yun and Mitcheltree, Christopher and Carson, Alistair and Bilbao, Stefan and "
        "Reiss, Joshua D. and Fazekas, György",
        "title": "Differentiable All-pole Filters for Time-varying Audio Systems",
        "booktitle": "Proceedings of the 27th International Conference on Digital Audio Effects (DAFx24)",
        "year": "2024",
    },
    "giannoulis2012compressor": {
        "kind": "article",
        "author": "Giannoulis, Dimitrios and Massberg, Michael and Reiss, Joshua D.",
        "title": "Digital Dynamic Range Compressor Design: A Tutorial and Analysis",
        "journal": "Journal of the Audio Engineering Society",
        "volume": "60",
        "year": "2012",
    },
    "yu2025diffvox": {
        "kind": "inproceedings",
        "author": "Yu, Chin-Yun and Martínez-Ramírez, Marco A. and Koo, Junghyun and Hayes, Ben and Liao, Wei-Hsiang and "
        "Fazekas, György and Mitsufuji, Yuki",
        "title": "DiffVox: A Differentiable Model for Capturing and Analysing Vocal Effects Distributions",
        "booktitle": "Proceedings of the 28th International Conference on Digital Audio Effects (DAFx25)",
        "year": "2025",
    },
    "jot1991delay": {
        "kind": "inproceedings",
        "author": "Jot, Jean-Marc and Chaigne, Antoine",
        "title": "Digital Delay Networks for Designing Artificial Reverberators",
        "booktitle": "90th Convention of the Audio Engineering Society",
        "year": "1991",
    },
    "abel2014modal": {
        "kind": "inproceedings",
        "author": "Abel, Jonathan S. and Coffin, Sean and Spratt, Kyle S.",
        "title": "A Modal Architecture for Artificial Reverberation with Application to Room Acoustics Modeling",
        "booktitle": "137th Convention of the Audio Engineering Society",
        "year": "2014",
    },
    "stilson1996moog": {
        "kind": "inproceedings",
        "author": "Stilson, Tim and Smith, Julius O.",
        "title": "Analyzing the Moog VCF with Considerations for Digital Implementation",
        "booktitle": "Proceedings of the International Computer Music Conference",
        "year": "1996",
    },
    "yu2024golf": {
        "kind": "article",
        "author": "Yu, Chin-Yun and Fazekas, György",
        "title": "GOLF: A Singing Voice Synthesiser with Glottal Flow Wavetables and LPC Filters",
        "journal": "Transactions of the International Society for Music Information Retrieval",
        "volume": "7",
        "year": "2024",
    },
    "yu2024linear": {
        "kind": "inproceedings",
        "author": "Yu, Chin-Yun and Fazekas, György",
        "title": "Differentiable Time-varying Linear Prediction in the Context of End-to-end Analysis-by-synthesis",
        "booktitle": "Proceedings of Interspeech",
        "year": "2024",
    },
    "fant1985glottal": {
        "kind": "article",
        "author": "Fant, Gunnar and Liljencrants, Johan and Lin, Qi-guang",
        "title": "A Four-parameter Model of Glottal Flow",
        "journal": "STL-QPSR",
        "volume": "26",
        "year": "1985",
    },
}

OF_KIND: dict[str, tuple[str, ...]] = {
    "phaser": ("yu2024allpole",),
    "compressor": ("yu2024allpole", "giannoulis2012compressor"),
    "levellingamplifier": ("yu2024allpole",),
    "equalizer": ("yu2025diffvox",),
    "pingpongdelay": ("yu2025diffvox",),
    "comb": ("yu2024allpole",),
    "reverb": ("yu2025diffvox", "jot1991delay"),
    "vocalchain": ("yu2025diffvox", "giannoulis2012compressor", "jot1991delay"),
    "plate": ("abel2014modal",),
    "acidpatch": ("yu2024allpole",),
    "voicepatch": ("yu2024golf", "yu2024linear", "fant1985glottal"),
}
"""The papers of each kind of model, which presets name."""


def citations(model: Model) -> list[str]:
    """The keys in `PAPERS` of what a model is made of: the software, its kind's papers, and those of its parts."""
    kind = type(model).__name__.lower()
    configuration: dict[str, Any] = model.configuration()
    of_parts = ["stilson1996moog"] if "ladder" in map(str, configuration.values()) else []
    return [SOFTWARE, *OF_KIND.get(kind, ()), *of_parts]


def bibtex(key: str, version: str = "") -> str:
    """An entry of `PAPERS`; version: of the software.

    >>> print(bibtex("fant1985glottal").splitlines()[0])
    @article{fant1985glottal,
    """
    fields = {name: value for name, value in PAPERS[key].items() if name != "kind"}
    if version and key == SOFTWARE:
        fields["version"] = version
    lines = (f"  {name} = {{{value}}}," for name, value in fields.items())
    return "\n".join([f"@{PAPERS[key]['kind']}{{{key},", *lines, "}"])

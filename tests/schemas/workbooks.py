"""Workbooks for tests, written part by part, so that a test decides every byte of a cell: no library corrects it."""

from __future__ import annotations

import io
import zipfile
from xml.sax.saxutils import escape

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def cell(reference: str, raw: str = "", *, kind: str = "n", style: int = 0, formula: str = "") -> str:
    """One cell as it stands in a worksheet's part."""
    body = f"<f>{formula}</f>" if formula else ""
    if kind == "inlineStr":
        body += f"<is><t>{escape(raw)}</t></is>"
    elif raw:
        body += f"<v>{escape(raw)}</v>"
    return f'<c r="{reference}" s="{style}" t="{kind}">{body}</c>'


def text(reference: str, words: str) -> str:
    return cell(reference, words, kind="inlineStr")


def sheet_part(*rows: str, merged: str = "") -> str:
    """A worksheet's part; each of `rows` is the cells of one row, the first row 1."""
    listed = "".join(f'<row r="{number}">{cells}</row>' for number, cells in enumerate(rows, 1))
    merges = f'<mergeCells><mergeCell ref="{merged}"/></mergeCells>' if merged else ""
    return f'<worksheet xmlns="{_MAIN}"><sheetData>{listed}</sheetData>{merges}</worksheet>'


def workbook(
    *parts: str, names: tuple[str, ...] = (), hidden: tuple[str, ...] = (), formats: tuple[str, ...] = (),
    more: dict[str, bytes] | None = None, date1904: bool = False,
) -> bytes:  # fmt: skip
    """A workbook of worksheets' `parts`. Style 0 is General, style n the n-th of `formats`."""
    names = names or tuple(f"Sheet{number}" for number in range(1, len(parts) + 1))
    sheets = "".join(
        f'<sheet name="{name}" sheetId="{n}" state="{"hidden" if name in hidden else "visible"}" r:id="rId{n}"/>'
        for n, name in enumerate(names, 1)
    )
    relations = "".join(
        f'<Relationship Id="rId{n}" Type="{_RELATIONS}/worksheet" Target="worksheets/sheet{n}.xml"/>'
        for n in range(1, len(parts) + 1)
    )
    own = "".join(
        f'<numFmt numFmtId="{163 + n}" formatCode="{escape(one, {chr(34): "&quot;"})}"/>'
        for n, one in enumerate(formats, 1)
    )
    styles = "".join(f'<xf numFmtId="{163 + n}"/>' for n in range(1, len(formats) + 1))
    types = "".join(
        f'<Override PartName="/xl/worksheets/sheet{n}.xml" '
        'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/>'
        for n in range(1, len(parts) + 1)
    )
    files = {
        "[Content_Types].xml": (
            '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
            '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            '<Default Extension="xml" ContentType="application/xml"/><Override PartName="/xl/workbook.xml" '
            'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>'
            f'{types}</Types>'
        ),
        "_rels/.rels": (
            '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
            f'<Relationship Id="rId1" Type="{_RELATIONS}/officeDocument" Target="xl/workbook.xml"/></Relationships>'
        ),
        "xl/workbook.xml": (
            f'<workbook xmlns="{_MAIN}" xmlns:r="{_RELATIONS}"><workbookPr date1904="{int(date1904)}"/>'
            f"<sheets>{sheets}</sheets></workbook>"
        ),
        "xl/_rels/workbook.xml.rels": (
            f'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{relations}'
            f'<Relationship Id="rIdS" Type="{_RELATIONS}/styles" Target="styles.xml"/></Relationships>'
        ),
        "xl/styles.xml": (
            f'<styleSheet xmlns="{_MAIN}"><numFmts>{own}</numFmts>'
            '<fonts><font/></fonts><fills><fill><patternFill/></fill></fills><borders><border/></borders><cellStyleXfs><xf/></cellStyleXfs>'
            f'<cellXfs><xf numFmtId="0"/>{styles}</cellXfs></styleSheet>'
        ),
        **{f"xl/worksheets/sheet{n}.xml": part for n, part in enumerate(parts, 1)},
    }  # fmt: skip
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as package:
        for name, content in {**files, **(more or {})}.items():
            package.writestr(name, content)
    return out.getvalue()

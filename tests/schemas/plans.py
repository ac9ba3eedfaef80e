"""A plan document for tests: the design's tri-district example, its entries complete, as YAML text and as a value."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

from schemas.plan import Plan, parse_plan
from schemas.plan.document import read_document

EXAMPLE = """\
plan: tri-district-monitoring
version: 1
title:
  zh: 长三角一体化示范区环境质量及污染源监测数据共享方案
  en: Shared monitoring data plan of the demonstration zone
parties: ["310118", "320509", "330421"]
effective: 2027-01-01T00:00:00+08:00
until: 2029-12-31T24:00:00+08:00
notice: P90D
defaults:                                       # any dataset may say otherwise
  format: taipu-batch/1
  sharing: conditional
  conditions: 用于示范区水环境联防联控，不得转供第三方
  grade: general
  retention: P5Y
datasets:
  - id: wj-antimony-hourly
    title: {zh: 吴江锑特征因子自动监测, en: Wujiang automatic antimony monitoring}
    provider: "320509"
    unit_in_charge: 苏州市吴江区环境监测站
    recipients: [{party: "330421"}, {party: "310118", from: 2026-01-01}]
    kind: observation
    select: {programmes: [water-auto], factors: [w20004], periods: [PT1H]}
    linger: PT0S
    cadence: {every: PT1H, due: PT1H}
    mode: push
    purpose: 太浦河水源地预警
    basis: [示范区条例第26条]
    warn:
      - {factor: w20004, at_or_above: {value: "0.005", unit: mg/L}, compare: full, consecutive: 2,
         also_to: [waterworks], limit: 参考限值}
  - id: wj-sources-restricted
    title: {zh: 吴江印染企业, en: Wujiang dyeing plants}
    provider: "320509"
    unit_in_charge: 苏州市吴江区环境监测站
    recipients: ["310118"]
    kind: source
    select: {categories: [dyeing]}
    hide: [contacts]
    mode: pull
    purpose: 跨界水体联防联控
"""


def example() -> dict[str, Any]:
    """The example as a value of its own, to change."""
    return deepcopy(read_document(EXAMPLE.encode()))


def plan_of(document: dict[str, Any]) -> Plan:
    return parse_plan(json.dumps(document, ensure_ascii=False).encode())

# SPDX-License-Identifier: LGPL-2.1-or-later
"""The kept results of compare-wine.py."""

import json
import statistics

class WineResults:
    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
        self.programs = document["programs"]
        self.missing = {**document["missing"], **document["missing_programs"]}
        self.limit_s = document["limit_s"]
        self.arguments = document["arguments"]
        self.titles = {"native": "native"}
        for name, version in document["versions"].items():
            self.titles[f"{name}-stock"] = f"Wine {version}, stock"
            self.titles[f"{name}-writewatch"] = f"Wine {version}, writewatch"

    def title(self, variant):
        return self.titles.get(variant, variant)

    def median(self, program, variant, field):
        """None: not measured, or not done in time."""
        answers = [answer for answer in self.programs.get(program, {}).get(variant, []) if answer]
        return statistics.median(answer[field] for answer in answers) if answers else None

    def unfinished(self, program, variant):
        return None in self.programs.get(program, {}).get(variant, [])

    def ratio(self, program, stock, tracked, field):
        left, right = self.median(program, stock, field), self.median(program, tracked, field)
        return left / right if left is not None and right else None

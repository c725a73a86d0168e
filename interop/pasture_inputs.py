"""Print the inputs of fediverse-pasture-inputs as JSON: ``{topic: {"title": ..., "examples": [...]}}``.

This runs in an environment with that package and without apcore, since the two need different versions of PyLD.
"""

from __future__ import annotations

import json
import sys

from fediverse_pasture_inputs import available

if __name__ == "__main__":
    topics = {name: {"title": topic.title, "examples": topic.examples} for name, topic in available.items()}
    json.dump(topics, sys.stdout)

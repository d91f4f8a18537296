"""Azure's way to name a model: the deployment in the path. No I/O.

Source: learn.microsoft.com/azure/ai-foundry/openai/reference (`/openai/deployments/{deployment-id}/…`); its v1 API has
the deployment in the body, where everybody else has the model.
"""

import re
from urllib.parse import unquote

_DEPLOYMENT = re.compile(r"/deployments/([^/?]+)/")


def model_of(said: object, target: str) -> str:
    """The deployment that `target` names, else the model that the body says; "" where neither does."""
    if "/deployments/" in target and (found := _DEPLOYMENT.search(target.partition("?")[0])):
        return unquote(found[1])
    return said if isinstance(said, str) else ""

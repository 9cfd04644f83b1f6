"""All that the two apps read from their environment, once, with what it means.

A value that cannot be meant ends the app at its start with a line that says which one it is.
"""

import json
import os
import sys
from dataclasses import dataclass

# Rounds of the receipt's key derivation: CPU that an order honestly costs. About 0.2 ms at 500.
WORK_ROUNDS_DEFAULT = 500
# More than this would block an instance for longer than a health check waits.
WORK_ROUNDS_MAX = 100_000


@dataclass(frozen=True)
class Settings:
    port: int
    instance: str
    item_name: str
    price_cents: int
    quantity_max: int
    payment_window_s: int
    work_rounds: int
    sale_token: str
    receipt_secret: str
    inventory_url: str
    redis_uri: str


def read(env=None):
    env = os.environ if env is None else env
    return Settings(
        port=number(env, "PORT", 8080, 1, 65_535),
        instance=env.get("CF_INSTANCE_INDEX", "0"),
        item_name=env.get("ITEM_NAME", "Lighthouse, 1 oz silver"),
        price_cents=number(env, "PRICE_CENTS", 4900, 1, 100_000_000),
        quantity_max=number(env, "QUANTITY_MAX", 4, 1, 1_000),
        payment_window_s=number(env, "PAYMENT_WINDOW_S", 120, 1, 3_600),
        work_rounds=number(env, "WORK_ROUNDS", WORK_ROUNDS_DEFAULT, 1, WORK_ROUNDS_MAX),
        sale_token=env.get("SALE_TOKEN", ""),
        receipt_secret=env.get("RECEIPT_SECRET") or env.get("SALE_TOKEN") or "no secret was set",
        inventory_url=env.get("INVENTORY_URL", "http://inventory.apps.internal:8080"),
        redis_uri=find_redis(env.get("VCAP_SERVICES", "")),
    )


def number(env, name, default, least, most):
    text = env.get(name, "")
    if not text:
        return default
    try:
        value = int(text)
    except ValueError:
        value = None
    if value is None or not least <= value <= most:
        sys.exit(f"{name} must be a number from {least} to {most}, not `{text[:40]}`")
    return value


def find_redis(vcap_services):
    """The uri of the first bound service that has one for Redis; empty when there is none."""
    try:
        services = json.loads(vcap_services or "{}")
    except ValueError:
        sys.exit("VCAP_SERVICES is not JSON")
    for bindings in services.values():
        for binding in bindings:
            credentials = binding.get("credentials") or {}
            for name in ("uri", "url"):
                uri = credentials.get(name, "")
                if isinstance(uri, str) and uri.startswith(("redis://", "rediss://")):
                    return uri
    return ""

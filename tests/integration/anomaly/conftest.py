"""A product with a hundred days of windows and failures, and a model that was learned from them."""

from tests.integration.anomaly.test_models import model, product_id

__all__ = ["model", "product_id"]

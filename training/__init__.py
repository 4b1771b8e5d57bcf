"""From a recipe to trained models and a report on them."""

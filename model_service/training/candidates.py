"""The kinds of model that compete. Change, add or remove one here: the best one is what the release serves.

Each is a function from the settings to an untrained scikit-learn pipeline. The pipeline takes complete rows of numbers
(the plain features in their order, then the words of the texts) and has ``predict_proba``, or for a regression
``predict``. Every random choice needs a fixed seed, so that the same commit gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from training.settings import Settings

REGULARISATION = 1.0  # scikit-learn's C: a smaller value keeps the coefficients closer to zero
OF_WORDS = 10.0  # the same if there are texts: a word's number is small, so its coefficient must be able to be large
SEED = 1989  # the year of the data's paper

Candidate = Callable[[Settings], Any]


def logistic_regression(settings: Settings) -> Any:
    """All features, linear in the log-odds of each class; a choice has one coefficient for each code."""
    if settings.texts:  # a thousand words: the solver below would need a matrix of all pairs of coefficients
        regression = LogisticRegression(C=OF_WORDS, tol=1e-8, max_iter=1000)
    else:
        # newton-cholesky converges to the optimum itself, so the file is the same on every machine
        regression = LogisticRegression(C=REGULARISATION, solver="newton-cholesky", tol=1e-10)
    return make_pipeline(_prepared(settings, StandardScaler()), regression)


def linear_regression(settings: Settings) -> Any:
    """All features, linear; a choice has one coefficient for each code. Large coefficients cost (ridge regression)."""
    return make_pipeline(_prepared(settings, StandardScaler()), Ridge(alpha=1 / REGULARISATION))


def gradient_boosting(settings: Settings) -> Any:
    """All features, in shallow trees, which can fit bends and interactions that the regression cannot."""
    kind = GradientBoostingRegressor if settings.model.task == "regression" else GradientBoostingClassifier
    trees = kind(n_estimators=60, learning_rate=0.1, max_depth=2, random_state=SEED)
    # Not scaled: a value on a split, such as 2.1 between 2.0 and 2.2, could be rounded to the other side.
    return make_pipeline(_prepared(settings, "passthrough"), trees)


def one_feature_forest(settings: Settings) -> Any:
    """A random forest on the first feature alone, as the first version of the heart model was: the floor."""
    kind = RandomForestRegressor if settings.model.task == "regression" else RandomForestClassifier
    first = ColumnTransformer([("first", "passthrough", [0])])
    return make_pipeline(first, kind(n_estimators=25, random_state=SEED))


def candidates(settings: Settings) -> dict[str, Candidate]:
    """The candidates for these settings, by name."""
    linear = {"linear regression": linear_regression}
    if settings.model.task != "regression":
        linear = {"logistic regression": logistic_regression}
    if settings.texts:  # trees need one split for each word
        return dict(linear)
    return {**linear, "gradient boosting": gradient_boosting, "random forest on one feature": one_feature_forest}


def _prepared(settings: Settings, measures: Any) -> Any:
    parts: list[tuple[str, Any, Any]] = [
        ("measures", measures, settings.measures),
        ("choices", OneHotEncoder(categories=settings.codes, sparse_output=False), settings.choices),
    ]
    used = [part for part in parts if part[2]]
    if settings.texts:
        plain = len(settings.plain)
        used.append(("words", "passthrough", lambda rows: list(range(plain, rows.shape[1]))))
    return ColumnTransformer(used, sparse_threshold=0)

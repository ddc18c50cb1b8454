"""The kinds of model that compete. Change, add or remove one here: the best by log loss is what the release serves.

Each is a function from the settings to an untrained scikit-learn pipeline. The pipeline takes complete rows, in the
order of the features, and has ``predict_proba``. Every random choice needs a fixed seed, so that the same commit gives
the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from training.settings import Settings

REGULARISATION = 1.0  # scikit-learn's C: a smaller value keeps the coefficients closer to zero
SEED = 1989  # the year of the data's paper

Candidate = Callable[[Settings], Any]


def logistic_regression(settings: Settings) -> Any:
    """All features, linear in the log-odds; a choice has one coefficient for each code."""
    # newton-cholesky converges to the optimum itself, so the file is the same on every machine
    regression = LogisticRegression(C=REGULARISATION, solver="newton-cholesky", tol=1e-10)
    return make_pipeline(_prepared(settings, StandardScaler()), regression)


def gradient_boosting(settings: Settings) -> Any:
    """All features, in shallow trees, which can fit bends and interactions that the regression cannot."""
    trees = GradientBoostingClassifier(n_estimators=60, learning_rate=0.1, max_depth=2, random_state=SEED)
    # Not scaled: a value on a split, such as 2.1 between 2.0 and 2.2, could be rounded to the other side.
    return make_pipeline(_prepared(settings, "passthrough"), trees)


def age_only_forest(settings: Settings) -> Any:
    """The first version of this service: a random forest on the age alone. It is the floor for the others."""
    age = ColumnTransformer([("age", "passthrough", [settings.names.index("age")])])
    return make_pipeline(age, RandomForestClassifier(n_estimators=25, random_state=SEED))


CANDIDATES: dict[str, Candidate] = {
    "logistic regression": logistic_regression,
    "gradient boosting": gradient_boosting,
    "random forest on age alone": age_only_forest,
}


def _prepared(settings: Settings, measures: Any) -> Any:
    return ColumnTransformer(
        [
            ("measures", measures, settings.measures),
            ("choices", OneHotEncoder(categories=settings.codes, sparse_output=False), settings.choices),
        ],
        sparse_threshold=0,
    )

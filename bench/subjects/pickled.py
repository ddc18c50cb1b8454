"""What model_service compares with: the same regression, fitted on the same data, as the usual pickle.

``python pickled.py MODEL_SERVICE FOLDER`` writes FOLDER/model.joblib.
"""

import sys
from pathlib import Path

import joblib
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline

if __name__ == "__main__":
    model_service, folder = map(Path, sys.argv[1:])
    sys.path.insert(0, str(model_service))
    from training.candidates import logistic_regression
    from training.data import completed, read
    from training.settings import read_settings

    settings = read_settings(model_service / "model.toml")
    table = read(model_service / "data" / "raw" / "heart.csv", settings)
    inputs = completed(table.inputs, settings)
    fitted = logistic_regression(settings).fit(inputs, table.targets)
    filled = make_pipeline(SimpleImputer(strategy="median").fit(inputs), fitted)
    joblib.dump(filled, folder / "model.joblib")

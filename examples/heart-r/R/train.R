# Rscript R/train.R: reads data/raw/heart.csv, writes models/heart.rds, prints its figures. The Dockerfile runs it.
source("R/model.R")
model <- train_model(read_patients("data/raw/heart.csv"))
save_model(model, "models/heart.rds")
cat(sprintf(
  "%d patients of %d to %d years; held-out ROC AUC %.4f, log loss %.4f (%d folds); models/heart.rds sha256 %s\n",
  model$patients, model$ages[1], model$ages[2], model$figures$roc_auc, model$figures$log_loss, FOLDS,
  substr(tools::sha256sum("models/heart.rds"), 1, 12)
))

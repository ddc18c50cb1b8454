# The model: a random forest that knows of a person nothing but the age. Sourced by R/train.R, which makes it, and by
# app/app.R, which asks it. Reads and writes the files it is told, and knows nothing of web pages.

library(ranger)  # also for predict() on a forest that was read from a file

SEED <- 1989  # the same commit gives the same model
TREES <- 500
FOLDS <- 10
LEAST <- 20  # patients in a leaf: no tree answers from fewer
AGES <- c(18, 110)  # what may be asked

# read_patients(file) -> a data frame of age (years) and target (0 or 1), one row a patient; stops where it is not that.
read_patients <- function(file) {
  if (!file.exists(file)) stop(file, " is not there. Put the data there, or name another file.", call. = FALSE)
  patients <- read.csv(file)
  missing <- setdiff(c("age", "target"), names(patients))
  if (length(missing) > 0) {
    stop(file, " has no column ", toString(missing), ". Name the columns in its first line.", call. = FALSE)
  }
  patients <- patients[c("age", "target")]
  wrong <- which(!in_range(patients$age, AGES) | !patients$target %in% 0:1)
  if (length(wrong) > 0) {
    stop(
      file, ", line ", wrong[1] + 1, ": age is ", patients$age[wrong[1]], " and target ", patients$target[wrong[1]],
      ", expected an age from ", AGES[1], " to ", AGES[2], " and 0 or 1. Mend that line.", call. = FALSE
    )
  }
  patients
}

in_range <- function(value, range) is.numeric(value) & !is.na(value) & value >= range[1] & value <= range[2]

# train_model(patients) -> what save_model keeps: the forest, the ages it saw, and its held-out figures.
train_model <- function(patients) {
  list(
    forest = fit(patients),
    patients = nrow(patients),
    ages = range(patients$age),
    figures = held_out_figures(patients)
  )
}

fit <- function(patients) {
  forest <- ranger(
    x = patients["age"], y = factor(patients$target, levels = 0:1), probability = TRUE,
    num.trees = TREES, min.bucket = LEAST, seed = SEED, num.threads = 1
  )
  forest$predictions <- NULL  # the patients' own answers: nothing asks for them again
  forest
}

# Every patient is answered by a forest that did not see them: each fold has its share of the ill.
held_out_figures <- function(patients) {
  set.seed(SEED)
  fold <- ave(patients$target, patients$target, FUN = function(group) sample(rep_len(seq_len(FOLDS), length(group))))
  answer <- numeric(nrow(patients))
  for (here in seq_len(FOLDS)) {
    answer[fold == here] <- ask(fit(patients[fold != here, ]), patients$age[fold == here])
  }
  list(roc_auc = roc_auc(answer, patients$target), log_loss = log_loss(answer, patients$target))
}

# How often an ill patient is given more than a healthy one; a tie counts half.
roc_auc <- function(answer, target) {
  ill <- sum(target)
  (sum(rank(answer)[target == 1]) - ill * (ill + 1) / 2) / (ill * (length(target) - ill))
}

log_loss <- function(answer, target) {
  answer <- pmin(pmax(answer, 1e-6), 1 - 1e-6)
  -mean(ifelse(target == 1, log(answer), log(1 - answer)))
}

ask <- function(forest, ages) predict(forest, data.frame(age = ages), num.threads = 1)$predictions[, "1"]

# probability_at(model, ages) -> one probability of heart disease, 0 to 1, for each age in years.
probability_at <- function(model, ages) ask(model$forest, ages)

# problem_of_age(age) -> "" for an age that may be asked, or the sentence why not.
problem_of_age <- function(age) {
  if (length(age) == 1 && in_range(age, AGES)) return("")
  sprintf("Type an age from %d to %d years.", AGES[1], AGES[2])
}

save_model <- function(model, file) {
  dir.create(dirname(file), showWarnings = FALSE, recursive = TRUE)
  saveRDS(model, file)
}

load_model <- function(file) {
  if (!file.exists(file)) stop(file, " is not there. Make it: Rscript R/train.R", call. = FALSE)
  readRDS(file)
}

# The service as a person meets it: type an age, read a probability. And as the host meets it: GET /ping.
# Run it with R/serve.R, or while you work on it: Rscript -e 'shiny::runApp("app")', from the folder above this one.

library(shiny)
source(file.path("..", "R", "model.R"), local = TRUE)

model <- load_model(file.path("..", "models", "heart.rds"))
release <- Sys.getenv("RELEASE", "unreleased")
commit <- Sys.getenv("COMMIT", "unknown")
curve <- data.frame(age = 20:90)
curve$probability <- probability_at(model, curve$age)

# 200 when the model answers, and which release it is.
ping <- function() {
  stopifnot(is.finite(probability_at(model, 54)))
  httpResponse(
    200L, "application/json", sprintf('{"status":"healthy","release":"%s"}\n', release),
    headers = list("x-model-version" = release, "cache-control" = "no-store")
  )
}

page <- function() {
  bootstrapPage(
    lang = "en",
    title = "Heart disease, by age",
    tags$head(
      tags$link(rel = "stylesheet", href = "style.css"),
      tags$script(src = "reconnect.js"),
      tags$link(rel = "icon", href = "data:,")  # there is none: do not ask for one
    ),
    tags$main(
      h1("Heart disease, by age"),
      p(
        class = "lead",
        "How probable is it at yours? A random forest was shown the patients of one clinic and told nothing of them but",
        "their age. It is a demonstration, no medical advice."
      ),
      numericInput("age", "Age, in years", value = NULL, min = AGES[1], max = AGES[2], step = 1),
      div(role = "status", uiOutput("answer")),
      uiOutput("curve"),
      tags$footer(textOutput("origin"))
    )
  )
}

server <- function(input, output, session) {
  # A replacement of the container ends this session. The page then connects again, to the new container, with what was
  # typed. "force", because a session that ended in order is not reconnected otherwise.
  session$allowReconnect("force")

  output$answer <- renderUI(answer(input$age))
  output$curve <- renderUI(picture(input$age))
  output$origin <- renderText(sprintf(
    "Release %s, commit %s. %d patients of %d to %d years; on patients it had not seen, ROC AUC %.2f: age alone says little.",
    release, substr(commit, 1, 12), model$patients, model$ages[1], model$ages[2], model$figures$roc_auc
  ))
}

# What is said about an age: the probability, or why there is none.
answer <- function(age) {
  problem <- problem_of_age(age)
  if (nzchar(problem)) return(p(class = "hint", problem))
  tagList(
    p(class = "probability", percent(probability_at(model, age))),
    p(sprintf("is the probability of heart disease at %s, says release %s.", format(age), release)),
    if (!in_range(age, model$ages)) {
      p(class = "hint", sprintf(
        "Nobody it learned from was %s: it answers as for %d.",
        if (age < model$ages[1]) "so young" else "so old", min(max(age, model$ages[1]), model$ages[2])
      ))
    }
  )
}

percent <- function(probability) sprintf("%.1f %%", 100 * probability)

# The whole of what it learned in one line, with a dot at the age. The figures are said above: this is for the eye.
picture <- function(age) {
  x <- function(age) 10 * (age - 20)
  y <- function(probability) 220 - 200 * probability
  draw <- function(name, ...) tag(name, list(...))
  words <- function(at_x, at_y, anchor, text) draw("text", x = at_x, y = at_y, "text-anchor" = anchor, text)
  level <- function(probability) {
    tagList(
      draw("line", class = "level", x1 = 0, x2 = 700, y1 = y(probability), y2 = y(probability)),
      words(-8, y(probability) + 5, "end", paste(100 * probability, "%"))
    )
  }
  dot <- if (!nzchar(problem_of_age(age))) {
    at <- min(max(age, 20), 90)
    draw("circle", class = "here", cx = x(at), cy = y(probability_at(model, at)), r = 8)
  }
  tag("svg", list(
    viewBox = "-60 0 790 255", role = "img", "aria-label" = "The probability over the ages from 20 to 90",
    lapply(c(0, 0.5, 1), level), lapply(seq(20, 90, 10), function(age) words(x(age), 245, "middle", age)),
    draw("polyline", class = "curve", points = paste(x(curve$age), y(curve$probability), sep = ",", collapse = " ")),
    dot
  ))
}

shinyApp(
  ui = function(request) if (request$PATH_INFO == "/ping") ping() else page(),
  server = server,
  uiPattern = "^/(ping)?$"
)

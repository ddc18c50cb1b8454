# Rscript R/serve.R: the app on $PORT (8080) of every address, until SIGINT. Whoever stops a container sends SIGTERM:
# serve.sh, which starts this in the image, passes it on as SIGINT, because R knows no SIGTERM.
port <- suppressWarnings(as.integer(Sys.getenv("PORT", "8080")))
if (is.na(port) || port < 1 || port > 65535) {
  stop("PORT is ", Sys.getenv("PORT"), ", expected a number from 1 to 65535. Set another, or none for 8080.", call. = FALSE)
}
# The interrupt ends nothing by itself: R goes on with the answer it is at, and the app stops after it.
stop_soon <- function(signal) {
  later::later(shiny::stopApp)
  tryInvokeRestart("resume")
}
tryCatch(
  withCallingHandlers(shiny::runApp("app", host = "0.0.0.0", port = port, launch.browser = FALSE), interrupt = stop_soon),
  interrupt = function(signal) NULL  # where R has nothing to go on with
)
message("stopped")

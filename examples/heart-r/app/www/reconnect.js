// A page that connects again gets a new session's values, and Shiny 1.10 drops the first of each output: it still has the
// former session's progress (github.com/rstudio/shiny/issues/4424, mended in later releases). So it forgets that.
$(document).on("shiny:disconnected", function () {
  window.Shiny?.shinyapp?.$outputProgress?.outputStates?.clear();
});

"""An HTTP service around prediction, and the page that predicts in the browser."""

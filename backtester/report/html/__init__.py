"""report.html: one file that holds its data, its charts and the script that draws them."""

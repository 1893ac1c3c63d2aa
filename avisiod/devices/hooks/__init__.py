"""The site's own scripts, as the daemon sees them: somebody who is told what happens."""

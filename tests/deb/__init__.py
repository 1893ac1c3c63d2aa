"""The package on a Debian of its own: installed, used, upgraded, rolled back, removed, purged (`make deb-test`)."""

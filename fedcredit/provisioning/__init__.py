"""How a consortium and its institutions come to their files: keys, certificates, rosters, templates, and a check."""

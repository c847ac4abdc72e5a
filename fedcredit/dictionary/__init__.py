"""The data dictionary: features, blocks, owners, public grids, column mappings, drafts and checks."""

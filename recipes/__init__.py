"""Training recipes: Lightning modules, data, callbacks, tables. They import diffapf; diffapf imports none of them."""

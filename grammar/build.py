"""`python -m dlc.grammar.build` writes the parse tables anew, after a change of `dl.lark`."""

from __future__ import annotations

from dlc.grammar.parse import TABLES, build_tables

if __name__ == "__main__":
    TABLES.write_text(build_tables(), "utf-8")
    print(f"wrote {TABLES}")

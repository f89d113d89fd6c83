"""Which functions the gate lets through, and which of them PostgreSQL must be told about."""

from __future__ import annotations

# Defined in redshift.sql, because PostgreSQL lacks them or answers otherwise.
DEFINED = frozenset(
    """
    add_months avg charindex concat convert_timezone date_trunc getdate
    is_valid_json is_valid_json_array json_array_length json_extract_array_element_text
    json_extract_path_text json_parse last_day len months_between regexp_replace regexp_substr round
    sha2 split_part strtol sum trunc
    """.split()
)

# The same under another name.
RENAMED = {"nvl": "coalesce", "isnull": "coalesce", "dlog10": "log", "dexp": "exp"}

# Written anew by expressions.py.
REWRITTEN = frozenset(
    """
    cast date_add date_diff date_part dateadd datediff decode extract listagg median nvl2 try_cast
    """.split()
)

# Redshift and PostgreSQL agree on these.
SHARED = frozenset(
    """
    abs ascii bit_length bool_and bool_or btrim ceil ceiling char_length character_length chr
    coalesce cos count cume_dist current_database current_schema degrees dense_rank exp
    first_value floor greatest has_schema_privilege has_table_privilege initcap lag last_value lead
    least left length ln log lower lpad ltrim max md5 min mod nth_value ntile nullif octet_length
    percent_rank percentile_cont percentile_disc pg_backend_pid pi position power pow
    quote_ident quote_literal radians random rank regexp_count regexp_instr repeat
    replace reverse right row_number rpad rtrim sign sin sqrt stddev stddev_pop stddev_samp strpos
    substr substring tan to_char to_date to_hex to_number to_timestamp translate trim upper
    var_pop var_samp variance version
    rollup cube grouping any_value any all some
    """.split()
)

ALLOWED = DEFINED | REWRITTEN | SHARED | frozenset(RENAMED)

REFUSED = {
    "generate_series": "it runs on Redshift's leader node alone, never beside tables",
    "now": "it is deprecated on Redshift; use getdate() or sysdate",
    "string_agg": "Redshift has no such function; use listagg",
    "array_agg": "Redshift has no such function; use listagg",
    "json_serialize": "the laptop has no SUPER; use json_extract_path_text and its family",
    "unnest": "Redshift has no arrays",
    "format": "Redshift has no such function; use ||",
    "to_jsonb": "Redshift has no jsonb",
    "regexp_matches": "Redshift has no such function; use regexp_substr",
    "concat_ws": "Redshift has no such function; use ||",
    "make_date": "Redshift has no such function; use to_date",
    "age": "it runs on Redshift's leader node alone; use datediff",
    "convert": "the laptop has cast(x as type) only",
}

# An aggregate over an ordered window needs a frame on Redshift.
FRAMED = frozenset(
    """
    avg bool_and bool_or count first_value last_value max min nth_value stddev stddev_pop
    stddev_samp sum var_pop var_samp variance
    """.split()
)


def refusal(name: str) -> str | None:
    """Why the function may not be called; None when it may."""
    if "." in name:
        return f"function {name}: the product defines none, and Redshift's own have no schema"
    if name in ALLOWED:
        return None
    reason = REFUSED.get(name, "not on the list of Redshift functions vouched for")
    return f"function {name}: {reason}"

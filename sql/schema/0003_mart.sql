-- Purpose: the schema that analysts read.
create schema if not exists mart;

"""The dashboard: what is published, shown to people who leave it open all day. It only ever reads.

`reader` reads the drive in a thread of its own and hands out a `Reading`; `overview` and `experiment` turn it
into what a page shows, as documented structs and without touching anything; `templates/` write those as HTML;
`app` says which address shows what. `words`, `freshness` and `stages` serve `heliograph status` too.
"""

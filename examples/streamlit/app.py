"""A model behind Streamlit: a page with two sliders and an answer."""

from __future__ import annotations

import streamlit as st

st.title("What does a flat cost?")
rooms = st.slider("Rooms", 1, 8, 3)
metres = st.slider("Square metres", 20, 200, 80)
st.metric("Price", f"{20_000 + 9_000 * rooms + 2_400 * metres:,.0f}")

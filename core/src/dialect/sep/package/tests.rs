//! Conversations with real documents.

"""Define BookWyrm's types: books, reviews, quotations and comments on books.

BookWyrm gives its terms no IRIs; it writes and reads plain names. The namespace here only separates them from other
terms.
"""

from __future__ import annotations

from apcore.vocab.namespaces import BOOKWYRM, FEP_044F
from apcore.vocab.objects import Article, MediaDocument, Note, Object
from apcore.vocab.relations import Uri, Uris
from apcore.vocab.scalars import Integer, Number, Text, Texts

__all__ = ["Author", "Book", "BookComment", "Edition", "Quotation", "Review", "Work"]


class Author(Object, ns=BOOKWYRM, type="Author"):
    """The author of a book."""

    bio: Text = Text()
    aliases: Texts = Texts()
    wikipedia_link: Text = Text()


class Book(MediaDocument, ns=BOOKWYRM):
    """The common part of works and editions. It has no type of its own, so it views every media document."""

    title: Text = Text()
    subtitle: Text = Text()
    description: Text = Text()
    authors: Uris = Uris()
    languages: Texts = Texts()
    series: Text = Text()
    series_number: Text = Text()
    subjects: Texts = Texts()
    openlibrary_key: Text = Text()
    published_date: Text = Text()


class Work(Book, ns=BOOKWYRM, type="Work"):
    """A book as a work, independent of its editions."""

    editions: Uris = Uris()
    lccn: Text = Text()


class Edition(Book, ns=BOOKWYRM, type="Edition"):
    """One edition of a book."""

    work: Uri = Uri()
    isbn10: Text = Text()
    isbn13: Text = Text()
    oclc_number: Text = Text()
    pages: Integer = Integer()
    physical_format: Text = Text()
    publishers: Texts = Texts()


class BookComment(Note, ns=BOOKWYRM, type="Comment"):
    """A note about a book, perhaps while reading it."""

    in_reply_to_book: Uri = Uri()
    reading_status: Text = Text()
    progress: Integer = Integer()
    progress_mode: Text = Text()


class Quotation(Note, ns=BOOKWYRM, type="Quotation"):
    """A passage of a book, with a comment in `content`."""

    in_reply_to_book: Uri = Uri()
    passage: Text = Text("quote", iri=f"{FEP_044F.iri}quote")  # quoting posts use the same name, introduced later


class Review(Article, ns=BOOKWYRM, type="Review"):
    """A review of a book."""

    in_reply_to_book: Uri = Uri()
    rating: Number = Number()

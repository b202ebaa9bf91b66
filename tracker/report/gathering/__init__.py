"""What a page is made from: the records of a run in bounded memory, and what is stored beside them."""

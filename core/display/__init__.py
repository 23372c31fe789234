"""What the pages draw and say: charts, tables and sentences from rows of the store."""

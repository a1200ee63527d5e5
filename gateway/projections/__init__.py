"""Read models: made from the journal, off the commit path, and made anew from it when they are lost."""

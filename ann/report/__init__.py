"""What people look at: pictures, pages, and the summary in the terminal."""

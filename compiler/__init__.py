"""Text in, checked program and generated module out. Pure: nothing here prints, prompts or trains."""

"""From words to checked settings: what was typed, composed, checked and planned."""

"""From a torch network to one ONNX file that takes raw columns and answers labels."""

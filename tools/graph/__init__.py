"""What tools/graph_report.py is made of: networks from configurations, and the graphs that
MindSpore compiles them to.
"""

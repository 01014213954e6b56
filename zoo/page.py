def page(recipes, results):
    return ""
